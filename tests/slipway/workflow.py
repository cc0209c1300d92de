"""Runs a workflow's jobs as GitHub would: expressions, outputs, conditions, and every `run:` step for real.

An action of this repository runs step by step. What a foreign one does is stood in for here: checkout clones, the
caches and artifacts are folders, and uv is there. One that is not known here is an error, so a workflow cannot grow an
action that the tests pass over.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expression import Expression
from helpers import ROOT, git
from ruamel.yaml import YAML

# What an installation needs on this machine, wherever packages come from.
KEPT = re.compile(r"HOME|LANG|TMPDIR|(?i:https?_proxy|all_proxy)|(SSL|UV)_\w+")
LOGINS = {  # to clouds, and what they cannot do without
    "aws-actions/configure-aws-credentials": ("role-to-assume", "aws-region"),
    "google-github-actions/auth": ("workload_identity_provider", "service_account"),
    "azure/login": ("client-id", "tenant-id"),
}


@dataclass
class Step:
    """What became of a step. `printed` is None where it did not run."""

    name: str
    result: str
    printed: str = ""


@dataclass
class Run:
    """A workflow run: the results of its jobs, and the steps of each."""

    results: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    steps: dict[str, list[Step]] = field(default_factory=dict)

    def printed(self, job: str) -> str:
        """Everything that a job printed."""
        return "\n".join(step.printed for step in self.steps[job])


@dataclass
class Runner:
    """Where a workflow runs, and what GitHub would give it.

    Attributes:
        origin: The repository to check out.
        folder: For workspaces, caches, artifacts and the files of steps.
        github: The `github` context.
        token: What `github.token` is.
        skip: Commands that are not run, with the reason why; they count as passed.
        environment: What every step has besides.
        failing: Foreign actions that find something to refuse.
        variables: The repository's, which the context `vars` holds.
        inputs: What somebody who started it by hand has filled in.
    """

    origin: Path
    folder: Path
    github: dict[str, Any]
    token: str
    skip: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    failing: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str | bool] = field(default_factory=dict)

    def __call__(self, name: str) -> Run:
        """Run all jobs of a workflow of this project, in the order in which they need each other."""
        workflow = YAML(typ="safe").load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))
        run = Run()
        for job, content in workflow["jobs"].items():
            self._job(run, job, content, workflow.get("env", {}))
        return run

    def _job(self, run: Run, job: str, content: dict[str, Any], variables: dict[str, str]) -> None:
        names = content.get("needs", [])
        names = [names] if isinstance(names, str) else names
        needs = {name: {"result": run.results[name], "outputs": run.outputs.get(name, {})} for name in names}
        values = self._values(needs, variables)
        fine = all(need["result"] == "success" for need in needs.values())
        run.steps[job] = []
        if not self._holds(content.get("if"), values, fine=fine):
            run.results[job] = "skipped"
            return
        result = self._steps(content["steps"], self.folder / job, values, run.steps[job])
        run.results[job] = result
        run.outputs[job] = {key: self._text(text, values) for key, text in content.get("outputs", {}).items()}

    def _steps(
        self, steps: list[dict[str, Any]], workspace: Path, values: dict[str, Any], done: list[Step], **more: str
    ) -> str:
        """Run steps in order, note what became of them, and give the result of all."""
        result = "success"
        for step in steps:
            if not self._holds(step.get("if"), values, fine=result == "success"):
                done.append(Step(step.get("run", step.get("uses")), "skipped"))
                continue
            if step.get("uses", "").startswith("./"):
                outcome = self._local(step, workspace, values, done)
            else:
                done.append(self._step(step, workspace, values, more))
                outcome = done[-1].result
            if "id" in step:
                values["steps"][step["id"]] = {"outcome": outcome, "outputs": self._outputs()}
            if outcome == "failure" and not step.get("continue-on-error"):
                result = "failure"
        return result

    def _local(self, step: dict[str, Any], workspace: Path, values: dict[str, Any], done: list[Step]) -> str:
        """Run the steps of an action as the checked out revision has it; it sees its inputs, but no job and no vars."""
        action = YAML(typ="safe").load((workspace / step["uses"] / "action.yaml").read_text(encoding="utf-8"))
        assert action.keys() <= {"name", "description", "inputs", "runs"}  # no more is understood here
        known = {name: entry.get("default", "") for name, entry in action.get("inputs", {}).items()}
        given = {name: self._text(text, values) for name, text in step.get("with", {}).items()}
        assert given.keys() <= known.keys()
        inside = {name: values[name] for name in ("github", "runner", "env")} | {"steps": {}, "inputs": known | given}
        steps = action["runs"]["steps"]
        assert all(each.get("shell") == "bash" for each in steps if "run" in each)
        # What it installs goes elsewhere: the environment that is shared must not become another clone's.
        return self._steps(steps, workspace, inside, done, UV_PROJECT_ENVIRONMENT=str(self.folder / "environment"))

    def _values(self, needs: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        (self.folder / "temp").mkdir(parents=True, exist_ok=True)
        runner = {"os": "Linux", "temp": str(self.folder / "temp")}
        github = self.github | {"token": self.token}
        own = {"github": github, "needs": needs, "env": variables, "runner": runner}
        return own | {"steps": {}, "inputs": self.inputs, "vars": self.variables}

    def _functions(self, *, fine: bool) -> dict[str, Callable[..., Any]]:
        return {
            "always": lambda: True,
            "success": lambda: fine,
            "cancelled": lambda: False,
            "format": lambda text, *words: text.format(*words),
            "toJSON": lambda value: json.dumps(dict(value)),
            "fromJSON": json.loads,
            "hashFiles": lambda *_: "hash",
        }

    def _holds(self, condition: str | None, values: dict[str, Any], *, fine: bool) -> bool:
        if condition is None:
            return fine
        text = str(condition).strip().removeprefix("${{").removesuffix("}}").strip()
        found = bool(Expression(text, values, self._functions(fine=fine)).value())
        return found and (fine or any(word in text for word in ("always()", "cancelled()", "failure()")))

    def _text(self, text: Any, values: dict[str, Any]) -> str:
        def replaced(match: re.Match[str]) -> str:
            found = Expression(match[1].strip(), values, self._functions(fine=True)).value()
            return "" if found is None else str(found)

        return re.sub(r"\$\{\{(.*?)\}\}", replaced, str(text).lower() if isinstance(text, bool) else str(text))

    def _outputs(self) -> dict[str, str]:
        path = self.folder / "output"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def _step(self, step: dict[str, Any], workspace: Path, values: dict[str, Any], more: Mapping[str, str]) -> Step:
        if "uses" in step:
            action = step["uses"].split("@")[0]
            options = {name: self._text(text, values) for name, text in step.get("with", {}).items()}
            return Step(action, self._act(action, options, workspace))
        command = step["run"]
        assert "${{" not in command  # such text would be read by the shell
        if command in self.skip:
            return Step(command, "success", f"not run: {self.skip[command]}")
        own = {name: self._text(text, values) for name, text in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command],
            cwd=workspace,
            env=self._environment(more | own),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Step(command, "failure" if done.returncode else "success", done.stdout)

    def _environment(self, own: dict[str, str]) -> dict[str, str]:
        (self.folder / "output").write_text("")
        event = self.folder / "event.json"
        event.write_text(json.dumps(self.github["event"]))
        names = ("event_name", "repository", "run_id", "sha", "ref", "base_ref", "head_ref", "actor")
        given = {f"GITHUB_{name.upper()}": str(self.github.get(name) or "") for name in names}
        files = {"GITHUB_EVENT_PATH": event, "GITHUB_OUTPUT": self.folder / "output"}
        files |= {"GITHUB_STEP_SUMMARY": self.folder / "summary.md", "RUNNER_TEMP": self.folder / "temp"}
        kept = {name: text for name, text in os.environ.items() if KEPT.fullmatch(name)}
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        paths = {name: str(file) for name, file in files.items()}
        # Without a sync: the environment is shared, and another clone must not install itself into it.
        fixed = {"CI": "true", "PATH": path, "NO_PROXY": "127.0.0.1", "UV_NO_SYNC": "1"}
        return kept | given | paths | fixed | dict(self.environment) | own

    def _act(self, action: str, options: dict[str, str], workspace: Path) -> str:
        cache, artifacts = self.folder / "cache", self.folder / "artifacts"
        match action:
            case "actions/checkout":
                assert options["persist-credentials"] == "false"
                git(self.folder, "clone", "-q", str(self.origin), str(workspace))
                git(workspace, "checkout", "-q", "--detach", options.get("ref") or self.github["sha"])
                for name in (".venv", ".tools"):
                    (workspace / name).symlink_to(ROOT / name)
                with (workspace / ".git/info/exclude").open("a") as file:
                    file.write(".venv\n.tools\n")
            case "actions/cache/restore":
                if cache.exists():
                    shutil.copytree(cache, workspace / options["path"])
            case "actions/cache/save":
                shutil.copytree(workspace / options["path"], cache, dirs_exist_ok=True)
            case "actions/upload-artifact":
                if (workspace / options["path"]).exists():
                    shutil.copytree(workspace / options["path"], artifacts / options["name"])
            case "actions/download-artifact":
                if not (artifacts / options["name"]).exists():
                    return "failure"
                shutil.copytree(artifacts / options["name"], workspace / options["path"], dirs_exist_ok=True)
            case "astral-sh/setup-uv":
                assert (ROOT / ".venv").exists()
            case "actions/dependency-review-action" | "anchore/scan-action":
                return "failure" if action in self.failing else "success"
            case _:
                self._act_on_release(action, options)
        return "success"

    def _act_on_release(self, action: str, options: dict[str, str]) -> None:
        match action:
            case "anchore/sbom-action":
                Path(options["output-file"]).write_text(json.dumps({"name": options["image"]}))
            case "sigstore/cosign-installer":
                (self.folder / "bin").mkdir(exist_ok=True)
                cosign = self.folder / "bin/cosign"  # it needs Sigstore's servers, so what it is asked for is noted
                cosign.write_text(f'#!/bin/sh\necho "$@" >> {self.folder}/signed\n')
                cosign.chmod(0o755)
            case "docker/login-action":
                assert options["username"]
                assert options["password"] == self.token
            case "actions/attest":
                with (self.folder / "signed").open("a") as file:
                    file.write(f"attest {options['subject-name']}@{options['subject-digest']}\n")
            case _:
                assert action in LOGINS, f"{action}: the tests do not know what this does"
                assert all(options[name] for name in LOGINS[action])
