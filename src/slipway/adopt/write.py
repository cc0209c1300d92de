"""The texts of what was decided: the contract, the data part of `params.yaml`, and `data.dvc`."""

import io
import re
from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from slipway import layout
from slipway.adopt.decide import Adoption
from slipway.adopt.propose import Proposal

HEAD = """\
# The data contract: what the table in data/ holds. `slipway adopt` wrote it from {origin} ({rows} rows);
# it is yours to edit. `slipway check` holds it against params.yaml, and `make repro` against every value of the data.

# How the files below data/ are read; all of them have equal columns.
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
        ("id", "names a row; its hash decides the side of the split that a row is on"),
        ("time", "orders the rows"),
        ("group", "holds together rows that must not be on both sides of the split"),
    ):
        if name := getattr(schema, role):
            text += f"\n# This column {why}.\n{_dump({role: name})}"
    if schema.sensitive:
        text += f"\n# Always evaluated on their own.\n{_dump({'sensitive': _flow(schema.sensitive)})}"
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
    """`params.yaml`, given as text, with its data part replaced; every other line stays as it is."""
    split = proposal.split
    cutoff = None if split.cutoff is None else split.cutoff.isoformat().removesuffix("T00:00:00")
    text = now if now.endswith("\n") or not now else now + "\n"
    text = _put(text, ("split", "strategy"), split.strategy)
    text = _put(text, ("split", "salt"), DoubleQuotedScalarString(split.salt))
    text = _put(text, ("split", "cutoff"), cutoff)
    cuts = [
        CommentedMap({"column": cut.column} | ({"bins": _flow(cut.bins)} if cut.bins else {}))
        for cut in proposal.slices
    ]
    text = _put(text, ("evaluate", "slices"), cuts)
    for key, bounds in (("metrics", proposal.metrics), ("worst_slice", proposal.worst_slice)):
        entries = CommentedMap((name, _flow(bound.model_dump(exclude_none=True))) for name, bound in bounds.items())
        for name in entries:
            entries.yaml_add_eol_comment(proposal.reasons[f"{key}.{name}"], name, column=0)
        text = _put(text, ("gates", key), entries)
    return _put(text, ("gates", "data", "min_holdout_rows"), proposal.min_holdout_rows)


def _put(text: str, path: Sequence[str], value: Any) -> str:
    """Set, or with None remove, an entry of a YAML text in block style; every other line stays as it is."""
    lines = text.splitlines(keepends=True)
    at, end, margin = -1, len(lines), ""
    for level, key in enumerate(path):
        inner = next((line for line in lines[at + 1 : end] if not _is_aside(line)), f"{margin}  " if level else "")
        margin = inner[: _margin(inner)]
        found = next((n for n in range(at + 1, end) if re.match(rf"{margin}{key}:(\s|$)", lines[n])), None)
        if found is None:
            for outer in reversed(path[level + 1 :]):
                value = {outer: value}
            at, path = end, path[: level + 1]
            break
        at, end = found, _end(lines, found, end)
    block = "" if value is None else indent(_dump({path[-1]: value}), margin)
    if block and (comment := re.search(r"\s#.*", lines[at] if at < end else "")):
        first, rest = block.split("\n", 1)
        block = f"{first}{comment[0]}\n{rest}"
    return "".join([*lines[:at], block, *lines[end:]])


def _end(lines: Sequence[str], at: int, limit: int) -> int:
    """The line behind a key's block; blank lines and comments between it and the next key do not belong to it."""
    end = at + 1
    for number in range(at + 1, limit):
        deeper = _margin(lines[number]) - _margin(lines[at])
        if _is_aside(lines[number]):
            continue
        if deeper < 0 or (deeper == 0 and not lines[number].lstrip().startswith("- ")):
            break
        end = number + 1
    return end


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_aside(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _flow(value: Any) -> Any:
    """A mapping or a sequence on one line, its whole numbers without a point."""
    if isinstance(value, str | bool) or value is None:
        return value
    if not isinstance(value, Mapping | Sequence):
        return int(value) if float(value).is_integer() else value
    items = {key: _flow(item) for key, item in value.items()} if isinstance(value, Mapping) else map(_flow, value)
    node = CommentedMap(items) if isinstance(value, Mapping) else CommentedSeq(items)
    node.fa.set_flow_style()
    return node


def _dump(value: Any) -> str:
    out, yaml = io.StringIO(), YAML()
    yaml.width = 116
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(value, out)
    return out.getvalue().replace(", \n", ",\n")  # it wraps long lists behind a blank
