"""The texts of what was decided: the contract, the data part of `params.yaml`, and `data.dvc`."""

import io
from collections.abc import Mapping
from textwrap import indent
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from slipway import layout
from slipway.adopt.decide import Adoption
from slipway.adopt.propose import FOUND, Proposal
from slipway.fairness import RATES

HEAD = """\
# The data contract: what the table in data/ holds. `slipway adopt` wrote it from {origin} ({rows} rows);
# it is yours to edit. `slipway check` holds it against params.yaml, and `make repro` against every value of the data.

# How the files below data/ are read; all of them have equal columns.
"""
SENSITIVE = """
# Columns whose groups are always evaluated on their own; limits of the gaps between them go to `gates.fairness` of
# params.yaml.
"""
COLUMNS = """
# The type of every column and what it may hold: a value outside stops the pipeline with its row number. Ranges leave a
# margin around what was seen; a category without `categories` may take any value. `use: false` keeps a column from the
# model, and `note` says why; remove both to use it after all.
columns:
"""


def data_dvc_text(origin: str) -> str:
    """A new `data.dvc` that only describes the data; `dvc add` fills in the rest and keeps the description."""
    return _dump({"outs": [{"path": str(layout.DATA), "desc": f"{origin}, as given to `slipway adopt`"}]})


def schema_text(adoption: Adoption) -> str:
    """The contract as YAML, with comments that say why."""
    schema, findings, rows = adoption.schema, adoption.findings, adoption.rows
    source = schema.source.model_dump(exclude_defaults=schema.source.format != "csv")
    text = HEAD.format(origin=" ".join(adoption.origin.split()), rows=rows) + _dump({"source": source})
    if schema.missing:
        text += '\n# Texts that mean "no value", besides the empty one.\n' + _dump({"missing": _flow(schema.missing)})
    target = schema.target.model_dump(exclude_defaults=True)
    if schema.target.classes:
        target["classes"] = _flow(schema.target.classes)
    text += "\n# What is predicted" + ("; the last class is the positive one" if schema.target.positive else "") + ".\n"
    text += _dump({"target": target})
    for role, why in (
        ("id", "names a row; in a split by hash, it decides the side that a row is on"),
        ("time", "orders the rows"),
        ("group", "holds together rows that must not be on both sides of the split"),
    ):
        if name := getattr(schema, role):
            text += f"\n# This column {why}.\n{_dump({role: name})}"
    if schema.sensitive:
        text += f"{SENSITIVE}{_dump({'sensitive': _flow(schema.sensitive)})}"
    else:
        text += f"{SENSITIVE}# sensitive: [column]\n"
    text += COLUMNS
    for name, column in schema.columns.items():
        missing = 1 - findings[name].present / rows
        remark = "; ".join(filter(None, [f"{missing:.2%} missing" * (missing > 0), findings[name].remark]))
        entry = _dump({name: _flow(column.model_dump(exclude_defaults=True))}).rstrip("\n")
        text += indent(entry + (f" # {remark}" if remark else "") + "\n", "  ")
    if adoption.left_out:
        text += "\n# Not part of the contract, and left out whenever the data is read:\n"
        text += "".join(f"# - {name!r} {why}\n" for name, why in adoption.left_out.items())
    return text


def params_text(now: str, proposal: Proposal) -> str:
    """`params.yaml`, given as text, with its data part replaced, in the style in which DVC writes it."""
    yaml, out, split = YAML(), io.StringIO(), proposal.split
    content = yaml.load(now) or CommentedMap()
    cutoff = None if split.cutoff is None else split.cutoff.isoformat().removesuffix("T00:00:00")
    slices = [_plain(cut.model_dump(exclude_none=True)) for cut in proposal.slices]
    _put(content, {"split": {"strategy": split.strategy, "salt": split.salt, "cutoff": cutoff}})
    suites = {"data": {"min_holdout_rows": proposal.min_holdout_rows}, "model": {"min_gain": proposal.min_gain}}
    _put(content, {"suites": {"model": {}}})
    content["suites"]["model"]["min_class_auc"] = proposal.min_class_auc  # empty leaves the check out
    _put(
        content,
        {
            "evaluate": {"slices": slices},
            "suites": suites,
            "gates": {
                "not_worse": {},
                "fairness": {},
                "calibration": proposal.calibration.value,
                "robustness": {"max_drop": proposal.robustness.value},
            },
        },
    )
    for key, gates in (("metrics", proposal.metrics), ("worst_slice", proposal.worst_slice)):
        content["gates"][key] = CommentedMap()
        for name, gate in gates.items():
            content["gates"][key][name] = _flow(gate.bound.model_dump(exclude_none=True))
            content["gates"][key].yaml_add_eol_comment(gate.reason, name, column=0)
    margins = content["gates"]["not_worse"]["margins"] = CommentedMap()
    fairness = content["gates"]["fairness"]
    for name in (*RATES, "error"):
        fairness[name] = None
        if FOUND in str(fairness.ca.items.get(name)):
            fairness.ca.items.pop(name)  # the reason of an earlier adoption's limit
    for limits, where in ((proposal.margins, margins), (proposal.fairness, fairness)):
        for name, limit in limits.items():
            where[name] = limit.value
            where.yaml_add_eol_comment(limit.reason, name, column=0)
    yaml.dump(content, out)
    return out.getvalue()


def _put(content: CommentedMap, changes: Mapping[str, Any]) -> None:
    """Set, or with None remove, entries of sections; new ones come first, as blank lines end a section."""
    for key, value in changes.items():
        if isinstance(value, Mapping):
            if content.get(key) is None:
                content[key] = CommentedMap()
            _put(content[key], value)
        elif value is None:
            content.pop(key, None)
        elif key in content:
            content[key] = value
        else:
            content.insert(0, key, value)


def _plain(value: Any) -> Any:
    """Whole numbers without a point, and lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flow(value: Any) -> Any:
    """A mapping or a sequence that is written on one line."""
    node = CommentedMap(_plain(value)) if isinstance(value, Mapping) else CommentedSeq(_plain(value))
    node.fa.set_flow_style()
    return node


def _dump(value: Any) -> str:
    out, yaml = io.StringIO(), YAML()
    yaml.width = 116
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(value, out)
    return out.getvalue().replace(", \n", ",\n")  # it wraps long lists behind a blank
