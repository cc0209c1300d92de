"""What becomes of the answers: nothing for the default ones, and for each other one what it promises."""

import json
import re
import subprocess
import sys
import tomllib
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, git
from rendering import copier_command, files, publish, render, terminal
from ruamel.yaml import YAML

from slipway.tools import find_uv

QUESTIONS = {name: asked for name, asked in YAML(typ="safe").load(ROOT / "copier.yml").items() if name[0] != "_"}
ASKED = [name for name, question in QUESTIONS.items() if question.get("when", True) is not False]
# What makes, tests and tells of the template, and is in no project.
ITS_OWN = (".ci/", "benchmarks/", "template/", "tests/slipway/", "tests/template/", "deploy/environments/")
ITS_OWN_FILES = {"copier.yml", "mkdocs.yml", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"}
ITS_OWN_FILES |= {".github/workflows/docs.yaml", ".github/workflows/template.yaml"}
IN_PROJECTS = {"docs/github.md", "docs/verdict.schema.json"}  # of the documents


def belongs_to_the_template(name: str) -> bool:
    documents = name.startswith("docs/") and name not in IN_PROJECTS
    return documents or name.startswith(ITS_OWN) or name in ITS_OWN_FILES or name.endswith(".jinja")


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads(text(folder, "pyproject.toml"))


@pytest.fixture
def churn(template: Path, tmp_path: Path) -> Path:
    return render(template, tmp_path / "churn")


def test_the_default_answers_give_this_repository_back(template: Path, tmp_path: Path) -> None:
    made = files(render(template, tmp_path / "slipway"))
    del made[".copier-answers.yml"]
    assert made == {name: content for name, content in files(template).items() if not belongs_to_the_template(name)}


def test_a_change_of_the_live_file_alone_is_a_change_of_projects(tmp_path: Path) -> None:
    """Twin of the test above: what is compared is the live file, not another text that happens to be equal."""
    (tmp_path / "template").mkdir()
    changed = publish(tmp_path / "template")
    for name in ("Makefile", "params.yaml", "pyproject.toml", "docs/github.md", "deploy/README.md", "uv.lock"):
        with (changed / name).open("a", encoding="utf-8") as file:
            file.write("# changed\n")
    git(changed, "commit", "-qam", "changed")
    git(changed, "tag", "v1.0.1")
    made = render(changed, tmp_path / "churn")
    assert [name for name, content in files(made).items() if b"# changed" in content] == [
        *("Makefile", "deploy/README.md", "docs/github.md", "params.yaml", "pyproject.toml", "uv.lock")
    ]


def test_no_more_than_seven_questions_each_with_a_default_help_and_a_check() -> None:
    assert len(ASKED) <= 7
    for name in ASKED:
        question = QUESTIONS[name]
        assert question["help"], name
        assert max(map(len, question["help"].splitlines())) <= 76, f"{name}: a terminal of 80 columns cuts it"
        assert "default" in question, name
        assert question.get("choices") or question.get("validator"), name


def test_nothing_that_wants_trust() -> None:
    settings = YAML(typ="safe").load(ROOT / "copier.yml")
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & settings.keys()


FIRST_MODEL = 'git add -A && git commit -m "The first model"'


@pytest.mark.parametrize(
    ("data", "first"),
    [
        ("demo", ["make repro"]),
        ("../t.csv:y", ["make repro", FIRST_MODEL]),
        ("../t.csv", ["make adopt TARGET=y && make repro", FIRST_MODEL]),
    ],
)
def test_what_is_said_after_copying_can_be_typed(template: Path, tmp_path: Path, data: str, first: list[str]) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,0\n", encoding="utf-8")
    words = ["copy", "--defaults", "--data", f"data={data}", str(template), "churn 1"]
    said = copier_command(tmp_path, *words).stderr.replace("<the column to predict>", "y")
    typed = [line.strip() for line in said.splitlines() if line.startswith("    ")]

    assert typed[2:] == first
    # What it does is tried in test_projects.py.
    dry = [line.replace("make ", "make --dry-run ") for line in typed if line != FIRST_MODEL]
    subprocess.run(["bash", "-ec", "\n".join(dry)], cwd=tmp_path, check=True, capture_output=True, env=terminal())
    assert git(tmp_path / "churn 1", "log", "--format=%s").strip() == "A new project"


@pytest.mark.slow
def test_the_oldest_copier_that_is_let_in_makes_the_same_project(template: Path, tmp_path: Path) -> None:
    oldest = YAML(typ="safe").load(ROOT / "copier.yml")["_min_copier_version"]
    command = [
        find_uv(),
        "tool",
        "run",
        f"copier@{oldest}",
        "copy",
        "--defaults",
        "--quiet",
        "--data",
        "deployment=none",
    ]
    subprocess.run([*command, str(template), str(tmp_path / "old")], check=True, capture_output=True, env=terminal())

    assert files(tmp_path / "old") == files(render(template, tmp_path / "new" / "old", deployment="none"))


def test_another_name_changes_names_and_nothing_else(template: Path, tmp_path: Path) -> None:
    """In files that every project has; the README is another one, as it speaks of the project."""
    one, other = render(template, tmp_path / "slipway"), render(template, tmp_path / "churn")
    before, after = files(one), files(other)
    assert before.keys() == after.keys()
    different = {name for name in before if before[name] != after[name]} - {"README.md", ".copier-answers.yml"}
    for name in different - {"pyproject.toml", "uv.lock"}:
        was, now = text(one, name), text(other, name)
        renamed = re.sub(r"(?m)(owner/)?\bslipway(-staging|-production)?(?=$|\.git$| # )", r"\1churn\2", was)
        assert renamed == now, name
    assert different == {
        *("pyproject.toml", "uv.lock", "params.yaml"),
        *(f"deploy/argocd/{name}.yaml" for name in ("production", "project", "staging")),
        *(f"deploy/flux/{name}.yaml" for name in ("environments", "repository")),
        *(f"deploy/kubernetes/overlays/{env}/{name}.yaml" for env in ("production", "staging")
          for name in ("kustomization", "namespace")),
    }  # fmt: skip


def test_the_name(churn: Path) -> None:
    assert pyproject(churn)["project"]["name"] == "churn"
    assert YAML(typ="safe").load(churn / "params.yaml")["image"]["name"] == "churn"
    assert text(churn, "README.md").startswith("# churn\n")
    for environment in ("staging", "production"):
        overlay = YAML(typ="safe").load(churn / f"deploy/kubernetes/overlays/{environment}/kustomization.yaml")
        assert overlay["namespace"] == f"churn-{environment}"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Project", "my-project"),
        ("data_science.two", "data-science-two"),
        ("churn", "churn"),
        ("2026 Öl__2-", "l-2"),
        ("7", "project"),
    ],
)
def test_the_folder_proposes_the_name(template: Path, tmp_path: Path, folder: str, name: str) -> None:
    assert pyproject(render(template, tmp_path / folder))["project"]["name"] == name


def test_the_description(template: Path, tmp_path: Path) -> None:
    made = render(template, tmp_path / "churn", description="Who leaves, and when: 100 % of them")
    assert pyproject(made)["project"]["description"] == "Who leaves, and when: 100 % of them"
    assert "Who leaves, and when: 100 % of them" in text(made, "README.md")


def test_the_repository(template: Path, tmp_path: Path) -> None:
    made = render(template, tmp_path / "churn", repository="Acme/Churn.Model")
    application = YAML(typ="safe").load(made / "deploy/argocd/staging.yaml")
    assert application["spec"]["source"]["repoURL"] == "https://github.com/Acme/Churn.Model.git"
    overlay = YAML(typ="safe").load(made / "deploy/kubernetes/overlays/staging/kustomization.yaml")
    assert overlay["images"][0]["newName"] == "ghcr.io/acme/churn.model"  # a registry knows no capitals
    assert not [name for name, content in files(made).items() if b"owner/slipway" in content]


def test_the_reference_is_that_of_the_template_that_was_copied(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"COUNT": "1", "KEY_0": f"url.{template}.insteadOf", "VALUE_0": "https://github.com/acme/slipway.git"}
    for name, value in told.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    done = copier_command(tmp_path, "copy", "--defaults", "gh:acme/slipway", "churn")
    assert done.returncode == 0, done.stderr
    assert "(https://github.com/acme/slipway/tree/main/docs/reference)" in text(tmp_path / "churn", "README.md")
    render(template, tmp_path / "local")
    assert "`docs/reference` of the repository that `.copier-answers.yml` names" in text(
        tmp_path / "local", "README.md"
    )


@pytest.mark.parametrize("repository", ["acme/slipway", "acme/my-slipway", "owner/slipway-x", "acme-owner/slipway"])
def test_a_repository_may_be_called_like_the_template(template: Path, tmp_path: Path, repository: str) -> None:
    made = render(template, tmp_path / "churn", repository=repository)
    overlay = YAML(typ="safe").load(made / "deploy/kubernetes/overlays/staging/kustomization.yaml")
    assert overlay["images"][0]["newName"] == f"ghcr.io/{repository}"
    assert f"github.com/{repository}.git" in text(made, "deploy/argocd/staging.yaml")


@pytest.mark.parametrize(
    ("licence", "expression", "begins"),
    [
        ("Apache-2.0", "Apache-2.0", "                                 Apache License"),
        ("MIT", "MIT", "MIT License\n\nCopyright (c) acme\n"),
        ("BSD-3-Clause", "BSD-3-Clause", "BSD 3-Clause License\n\nCopyright (c) acme\n"),
        ("proprietary", "LicenseRef-Proprietary", "Copyright (c) acme. All rights reserved.\n"),
    ],
)
def test_the_licence(template: Path, tmp_path: Path, licence: str, expression: str, begins: str) -> None:
    made = render(template, tmp_path / "churn", licence=licence, repository="acme/churn")
    assert pyproject(made)["project"]["license"] == expression
    assert text(made, "LICENSE").lstrip("\n").startswith(begins)
    said = text(made, "README.md").partition("## Licence\n")[2]
    assert ("All rights reserved" if licence == "proprietary" else licence) in said


@pytest.mark.parametrize(
    ("remote", "driver"),
    [
        ("s3://bucket/churn", "s3"),
        ("gs://bucket/churn", "gcs"),
        ("azure://container/churn", "azure"),
        ("ssh://me@host/srv/churn", "ssh"),
    ],
)
def test_a_remote_elsewhere(template: Path, tmp_path: Path, remote: str, driver: str) -> None:
    from dvc.repo import Repo

    made = render(template, tmp_path / "churn", remote=remote)
    git(made, "init", "-q")
    with Repo(str(made)) as repo:
        assert repo.config["core"]["remote"] == "storage"
        assert repo.config["remote"]["storage"]["url"] == remote
        (data,) = [out for out in repo.index.outs if out.def_path == "data"]
        assert data.remote == "repository"  # the demo's own table is in git
    assert driver in pyproject(made)["tool"]["uv"]["default-groups"]
    assert driver in pyproject(made)["dependency-groups"]
    steps = YAML(typ="safe").load(made / ".github/actions/storage/action.yaml")["runs"]["steps"]
    clouds = {"s3": "aws-actions", "gcs": "google-github-actions", "azure": "azure"}
    used = [step["uses"].split("/")[0] for step in steps]
    assert used == ([clouds[driver]] if driver in clouds else list(clouds.values()))
    assert remote in text(made, "README.md")
    for words in (
        ("check-jsonschema", "--builtin-schema", "vendor.github-actions", ".github/actions/storage/action.yaml"),
        ("zizmor", "--offline", "--persona=auditor", "--quiet", ".github"),
    ):
        command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_remote_in_the_repository(churn: Path) -> None:
    assert pyproject(churn)["tool"]["uv"]["default-groups"] == ["dev", "serve"]
    assert (churn / ".dvc/remote/files/md5").is_dir()


DEPLOYED = {
    "both": {"kubernetes", "argocd", "flux", "compose", "release.mk", "deploy.mk"},
    "kubernetes": {"kubernetes", "argocd", "flux", "release.mk"},
    "compose": {"compose", "environments", "release.mk", "deploy.mk"},
    "none": set(),
}


@pytest.mark.parametrize("deployment", DEPLOYED)
def test_the_deployment(template: Path, tmp_path: Path, deployment: str) -> None:
    made = render(template, tmp_path / "churn", deployment=deployment)
    found = {path.name for path in (made / "deploy").glob("*")} - {"README.md"}
    assert found == DEPLOYED[deployment]
    assert (made / "deploy").exists() is (deployment != "none")
    workflows = {path.stem for path in (made / ".github/workflows").glob("*.yaml")}
    assert {"release", "promote", "rollback"} & workflows == (
        set() if deployment == "none" else {"release", "promote", "rollback"}
    )
    assert (made / "src/slipway/delivery/release").exists() is (deployment != "none")
    assert (made / "src/slipway/delivery/deploy").exists() is (deployment in {"both", "compose"})


WORDS = {  # that say something of what was not chosen
    "kubernetes": r"compose(?!d|r)|haproxy|make deploy\b|slipway deploy",
    "compose": r"kubernetes|kustomize|argo|flux\b",
    "none": r"(make|slipway) (release|promote|rollback|lineage|deploy)\b|deploy/",
}


@pytest.mark.parametrize("deployment", WORDS)
def test_nothing_speaks_of_what_was_not_chosen(template: Path, tmp_path: Path, deployment: str) -> None:
    made = render(template, tmp_path / "churn", deployment=deployment)
    for name, content in files(made).items():
        told = name.endswith((".md", ".mk", ".yaml")) or name == "Makefile"
        if told and not name.startswith(("src/", "docs/", ".pre-commit", "params", "deploy/compose/monitoring/")):
            found = re.search(f"(?i)({WORDS[deployment]}).*", content.decode())
            assert not found, f"{name}: {found[0]}"


def test_a_table_of_ones_own_leaves_nothing_of_the_demo(template: Path, tmp_path: Path) -> None:
    made = render(template, tmp_path / "churn", data="../churn.csv:churned")
    gone = ("data.dvc", "dvc.lock", "reports", "src/model/schema.yaml", ".dvc/remote")
    assert not [name for name in gone if (made / name).exists()]
    assert "tumour" not in text(made, "README.md").lower()
    gates = YAML(typ="safe").load(made / "params.yaml")["gates"]
    assert (gates["metrics"], gates["worst_slice"], gates["not_worse"]["margins"]) == ({}, {}, {})
    assert YAML(typ="safe").load(made / "params.yaml")["evaluate"]["slices"] == []


# Of every question, answers that it has to refuse.
BAD = {
    "project_name": ["", "Churn", "1st", "a--b", "-a", "a_b", "mlflow", "a" * 41, "churn\n", "null", "default"],
    "description": ["", "  ", 'a "b"', "a\\b", "a\nb", "a" * 201, "a\x07", "a\x85b"],
    "repository": ["churn", "a/b/c", "https://github.com/a/b", "a/b.git", "a/ b", "-a/b", "a/b\n"],
    "licence": ["GPL"],
    "remote": [
        "",
        "/srv",
        "s3://",
        "http://a/b",
        "s3://a b",
        "ssh://me:" + "x@host/x",
        's3://a"b',
        "s3://a\nurl = b",
        "s3://a/#b",
        "s3://a,b",
        "s3://a/%(x)s",
        "azure://a/b?sig=c",
    ],
    "deployment": ["heroku"],
    "data": ["", " ", "a\nb", "s3://a/b.csv:c", "demo../b.csv:c", "demo~/b.csv:c"],
}


def test_every_question_has_answers_that_it_refuses() -> None:
    assert BAD.keys() == set(ASKED)


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name, answers in BAD.items() for answer in answers])
def test_a_bad_answer_is_refused(template: Path, tmp_path: Path, name: str, answer: str) -> None:
    with pytest.raises(ValueError, match=name):
        render(template, tmp_path / "churn", **{name: answer})
    assert not (tmp_path / "churn").exists()


def combinations() -> list[dict[str, str]]:
    """Every set of answers that can differ: the licence, which goes with any, changes from one to the next."""
    remotes = ("local", "s3://bucket/a", "gs://bucket/a", "azure://container/a", "ssh://host/a")
    licences = cycle(QUESTIONS["licence"]["choices"].values())
    return [
        {"deployment": deployment, "remote": remote, "data": data, "licence": next(licences)}
        for deployment, remote, data in product(DEPLOYED, remotes, ("demo", "../churn.csv:churned"))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("answers", combinations(), ids=lambda answers: "-".join(answers.values()))
def test_every_combination_is_whole(template: Path, tmp_path: Path, answers: dict[str, str]) -> None:
    made = render(template, tmp_path / "churn", **answers)
    for name, content in files(made).items():
        path = Path(name)
        assert not re.search(rb"\[%-? |\[=-? |\{\{ *cookiecutter|TODO|FIXME", content), name
        assert (
            not content
            or content.endswith(b"\n")
            or path.suffix in {".json", ".parquet"}
            or b"\0" in content
            or (".dvc/remote" in name)
        ), f"{name} does not end with a newline"
        match path.suffix:
            case ".toml" | ".lock" if name != "dvc.lock":
                tomllib.loads(content.decode())
            case ".yaml" | ".yml" | ".dvc" | ".lock":
                list(YAML(typ="safe").load_all(content.decode()))
            case ".json":
                json.loads(content)
            case ".md":
                links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", content.decode())
                missing = [link for link in links if not (made / path.parent / link).exists()]
                assert not missing, f"{name} links to {missing}"


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        *(("zebra", "local"), ("aardvark", "s3://b/a"), ("churn", "gs://b/a")),
        *(("churn", "azure://c/a"), ("churn", "ssh://h/a")),
    ],
)
def test_the_lock_of_a_project_is_what_uv_would_write(template: Path, tmp_path: Path, name: str, remote: str) -> None:
    """Under a name that comes first or last, and with a driver; this also says when `template/only.py` is due."""
    made = render(template, tmp_path / name, remote=remote)
    before = text(made, "uv.lock")
    done = subprocess.run([find_uv(), "lock"], cwd=made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert text(made, "uv.lock") == before
