"""Writes the reference, `docs/reference/*.md`, from the code that it describes: `make reference`."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer
from fields import Section, code, meanings, sections, table, words
from prometheus_client import CollectorRegistry
from pydantic import TypeAdapter

import slipway.cli  # noqa: F401  # fills the command line
from slipway import metrics
from slipway.cli.app import app
from slipway.params import Params
from slipway.schema import Schema
from slipway.service.metrics import Metrics
from slipway.service.predictions import Line
from slipway.service.release import Release
from slipway.settings import read_yaml
from slipway.signature import Input, Signature, Spread

if TYPE_CHECKING:
    from slipway.schema import Task

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by `make reference` from the code; do not edit. -->"


def parameters() -> str:
    """Every key of `params.yaml`."""
    text = """# Parameters

Every key of `params.yaml`, which holds all knobs. The second column is what the key takes, the third what the file says
out of the box; a key that is left out has that value, too, but for the gates and slices, which are the demo's. An
unknown key, or a value that does not fit, is an error that names its path: `make check`.

"""
    return text + settings(sections(Params, read_yaml(ROOT / "params.yaml")), "Out of the box")


def contract() -> str:
    """Every key of `src/model/schema.yaml`."""
    text = """# Data contract

Every key of `src/model/schema.yaml`, which says what the table in `data/` holds. `slipway adopt` writes that file for
your data; then it is yours to edit.

"""
    return text + settings(sections(Schema), "Unless given")


def settings(found: Any, default: str) -> str:
    """Sections as headings with tables; those without fields of their own pass on."""
    return "\n\n".join(part for part in (describe(section, default) for section in found) if part) + "\n"


def describe(section: Section, default: str) -> str:
    """A section with its table."""
    level = "#" * min(3, 2 + section.path.count("."))
    head = [f"{level} `{section.path}`", section.about] if section.path else []
    rows = [(f"`{row.name}`", row.kind, row.default, row.meaning) for row in section.rows]
    return "\n\n".join([*head, *([table(rows, "Key", "Takes", default, "Meaning")] if rows else [])])


def command_line() -> str:
    """Every verb, as Typer knows it."""
    command: Any = typer.main.get_command(app)
    text = """# Command line

`slipway`, in the project's environment: `uv run slipway`, or `make` and the verb for nearly each of them. Options that
have a variable of the environment name it.

| Exits with | |
| --- | --- |
| 0 | done; what was judged passes |
| 1 | what was judged or looked for fails: where a verb can end so, its text says when |
| 2 | it could not be done; one line says what is wrong, where, and what to do (`--debug` shows the traceback); \
wrong words get their usage as well. With `--json` standard output stays empty |

"""
    return text + "\n\n".join(verbs("slipway", command)) + "\n"


def verbs(above: str, command: Any) -> Iterator[str]:
    """What a command holds: verbs, or groups of them."""
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from verbs(f"{above} {name}", each)
        elif not each.hidden:
            yield verb(f"{above} {name}", each)


def verb(name: str, command: Any) -> str:
    """A verb with its arguments and options."""
    context = typer.Context(command, info_name=name)
    parts = [f"## {name}", " ".join(inspect.cleandoc(command.help or "").split())]
    usage = [context.command_path, *command.collect_usage_pieces(context)]
    parts.append(f"```text\n{' '.join(usage)}\n```")
    records = [each.get_help_record(context) for each in command.params]
    rows = [(code(left), meaning(right)) for left, right in filter(None, records)]
    return "\n\n".join([*parts, *([table(rows, "Argument or option", "Meaning")] if rows else [])])


def meaning(text: str) -> str:
    """The help of an option in a cell; a shape in braces is code, or it would be taken for attributes of the cell."""
    return re.sub(r"\{.*\}", lambda shape: code(shape[0]), text.replace("|", "\\|").replace("  [", " ["))


def verdict() -> str:
    """`reports/verdict.json`, from its JSON Schema."""
    schema = json.loads((ROOT / "docs/verdict.schema.json").read_text(encoding="utf-8"))
    text = """# Verdict

`slipway review` writes `reports/verdict.json`, for machines. [verdict.schema.json](../verdict.schema.json) is its JSON
Schema. Within one `version` keys are only added.

"""
    own = {"title": "Verdict", **{key: value for key, value in schema.items() if key != "$defs"}}
    return text + "\n\n".join(piece(name, part) for name, part in [("The file", own), *schema["$defs"].items()]) + "\n"


def piece(name: str, schema: Mapping[str, Any]) -> str:
    """One object of a JSON schema."""
    about = re.sub(r"\s*\n\s*", " ", schema.get("description", ""))
    required = schema.get("required", ())
    rows = [
        (f"`{key}`", words(each), "always" if key in required else code(json.dumps(each.get("default"))))
        for key, each in schema["properties"].items()
    ]
    return "\n\n".join(filter(None, [f"## {name}", about, table(rows, "Key", "Holds", "Unless given")]))


def measured() -> str:
    """The metrics of each task."""
    text = """# Metrics

What `reports/metrics.json` holds of the holdout, each with a bootstrap interval, and what `gates.metrics`,
`gates.worst_slice` and `gates.not_worse.margins` may name. The first one of a task is what robustness and the
explanation go by.

"""
    tasks = {name: task for task, names in metrics.METRICS.items() for name in names}
    rows = [
        (
            f"`{name}`",
            " and ".join(task for task, names in metrics.METRICS.items() if name in names),
            "higher" if name in metrics.HIGHER_IS_BETTER else "lower",
        )
        for name in tasks
    ]
    rules = inspect.cleandoc(metrics.__doc__ or "").split("\n\n")[1:]
    return text + table(rows, "Metric", "Task", "Better is") + "\n\n## Definitions\n\n" + "\n\n".join(rules) + "\n"


def service() -> str:
    """What the service counts, and what it logs of its predictions."""
    text = """# Service

## Metrics

What `/metrics` tells Prometheus.

"""
    counted = {name: row for task in metrics.METRICS for name, row in series(task).items()}
    text += table([*counted.values()], "Metric", "Kind", "Labels", "Meaning")
    text += """

## Prediction log

With `service.predictions.to` set, requests and answers are kept as JSON lines, one for each row.

"""
    hints, meant = get_type_hints(Line), meanings(Line)
    for name in hints:
        if name not in meant:
            raise LookupError(f"Line.{name} has no text below it that says what it means")
    lines = [(f"`{name}`", typed(hints[name]), meant[name]) for name in hints]
    return text + table(lines, "Key", "Holds", "Meaning") + "\n"


def series(task: "Task") -> dict[str, tuple[str, ...]]:
    """The metrics of a service for a task, as its registry has them; one of them is of classes, or numbers."""
    signature = Signature(
        task=task, target="y", classes=() if task == "regression" else ("no", "yes"), prior=(0.5, 0.5),
        inputs=(Input(name="x", type="number"),), spread=Spread(quantiles=(0.0, 1.0), coverage=0.9),
    )  # fmt: skip
    registry = CollectorRegistry()
    Metrics(signature, Release(version="v", commit="c", created="now"), registry)
    found: dict[str, tuple[str, ...]] = {}
    for each in registry._collector_to_names:  # what has no value yet shows its labels nowhere else
        for family in each.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(map(code, each._labelnames))  # type: ignore[attr-defined]
            found[name] = (code(name), family.type, labels, family.documentation)
    return found


def typed(hint: Any) -> str:
    """An annotation in words."""
    return words(TypeAdapter(hint).json_schema())


def make() -> str:
    """The targets of the Makefile and of what it includes, as `make` lists them."""
    text = """# Make

What people and CI run; `make` alone lists it. `ARGS` goes on to the command behind a target: see
[Command line](cli.md).

"""
    makefile = ROOT / "Makefile"
    (included,) = re.findall(r"^include \$\(wildcard (.*)\)$", makefile.read_text(encoding="utf-8"), re.MULTILINE)
    found = sorted(path for pattern in included.split() for path in ROOT.glob(pattern))
    projects: list[tuple[str, ...]] = []
    template: list[tuple[str, ...]] = []
    for file in [makefile, *found]:
        (template if file.parent.name == "template" else projects).extend(targets(file))
    heads = ("Target", "Does")
    return f"{text}{table(projects, *heads)}\n\n## In the template\n\n{table(template, *heads)}\n"


def targets(file: Path) -> list[tuple[str, ...]]:
    """The targets of a file that say what they do."""
    found = re.findall(r"^([a-z-]+):.*?## (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return [(f"`make {name}`", about) for name, about in found]


PAGES: dict[str, Callable[[], str]] = {
    "parameters": parameters, "contract": contract, "cli": command_line, "make": make, "metrics": measured,
    "service": service, "verdict": verdict,
}  # fmt: skip


def pages() -> dict[str, str]:
    """Every page of the reference, by its file's name."""
    return {f"{name}.md": write().replace("\n\n", f"\n\n{MADE}\n\n", 1) for name, write in PAGES.items()}


if __name__ == "__main__":
    folder = ROOT / "docs/reference"
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
