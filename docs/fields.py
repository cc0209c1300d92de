"""The fields of models as tables: type from the annotation, meaning from the text below the field."""

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

KINDS = {
    "array": "list", "boolean": "`true` or `false`", "integer": "whole number", "null": "nothing", "number": "number",
    "object": "object", "string": "text",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A field: its name, and its cells, as Markdown."""

    name: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """A model and its own fields; the models among them are sections of their own."""

    path: str
    about: str
    rows: list[Row]


def sections(model: type[BaseModel], values: Mapping[str, Any] | None = None, path: str = "") -> Iterator[Section]:
    """A model, and then each model in it, in the order of the fields.

    Args:
        model: The model.
        values: What a file gives the fields; their own defaults where it says nothing.
        path: Of the model.

    Raises:
        LookupError: A field has no text below it that says what it means.
    """
    below, rows = [], []
    for name, field in model.model_fields.items():
        at = f"{path}.{name}" if path else name
        inner, step = inner_model(field.annotation)
        value = (values or {}).get(name, PydanticUndefined)
        if inner is not None:
            given = value if isinstance(value, Mapping) and not step else None
            below.append((inner, given, at + step))
        if inner is None or step:
            meaning = meanings(model).get(name)
            if not meaning:
                raise LookupError(f"{model.__qualname__}.{name} has no text below it that says what it means")
            rows.append(Row(name, kind_of(field), default_of(field, value), meaning))
    yield Section(path, " ".join(inspect.cleandoc(model.__doc__ or "").split()), rows)
    for inner, given, at in below:
        yield from sections(inner, given, at)


def inner_model(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model in an annotation, and how a path goes on to it: not at all, by `[]` or by `.*`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            origin = getattr(annotation, "__origin__", None)
            return part, ".*" if origin is dict else "[]" if origin is tuple else ""
    return None, ""


@cache
def meanings(owner: type) -> dict[str, str]:
    """What stands below each field of a class, by name."""
    (body,) = [node.body for node in classes(sys.modules[owner.__module__]) if node.name == owner.__name__]
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


@cache
def classes(module: ModuleType) -> list[ast.ClassDef]:
    """The classes of a module, as they are written."""
    return [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]


def kind_of(field: FieldInfo) -> str:
    """What a field takes, in words."""
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return words(TypeAdapter(annotation).json_schema(), lambda _: "the keys below")


def linked(name: str) -> str:
    """An object as a link to its section on the same page."""
    return f"[{name}](#{name.lower()})"


def words(schema: Mapping[str, Any], refer: Callable[[str], str] = linked) -> str:
    """A JSON schema in words; `refer` names the objects that it refers to."""
    match schema:
        case {"$ref": where}:
            said = refer(where.rsplit("/", 1)[-1])
        case {"anyOf": kinds}:
            said = " or ".join(words(each, refer) for each in kinds)
        case {"const": value}:
            said = code(value)
        case {"enum": [*others, last]}:
            said = f"{', '.join(map(code, others))} or {code(last)}"
        case {"type": "array", "items": items}:
            said = f"list of {words(items, refer)}"
        case {"type": "object", "additionalProperties": dict() as values}:
            said = f"{words(values, refer)}, by name"
        case {"type": "string", "format": form}:
            said = {"date": "day", "date-time": "moment"}[form]
        case _:
            said = KINDS[schema["type"]] + bounds(schema)
    return said


def bounds(schema: Mapping[str, Any]) -> str:
    """The bounds of a number."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {plain(schema[key])}" for key, sign in signs.items() if key in schema]
    return " " + " and ".join(found) if found else ""


def default_of(field: FieldInfo, value: Any) -> str:
    """The value in the file, or else the field's own."""
    if value is PydanticUndefined:
        if field.is_required():
            return "required"
        value = field.get_default(call_default_factory=True)
    return "" if value is None else code(value)


def code(value: Any) -> str:
    """A value as it stands in YAML, in a table."""
    return f"`{plain(value)}`".replace("|", "\\|")


def plain(value: Any) -> str:
    """A value as it stands in YAML."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {plain(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    return str(value) if value not in ("", ",", '"') else f"'{value}'"


def table(rows: Sequence[tuple[str, ...]], *heads: str) -> str:
    """A table in Markdown; a column that is empty throughout is left out."""
    used = [number for number in range(len(heads)) if any(row[number] for row in rows)]
    lines = [
        [heads[number] for number in used],
        ["---"] * len(used),
        *([row[number] for number in used] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
