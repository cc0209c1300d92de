"""Reading YAML into frozen models: a typo in a file is an error that names the file and the path within it."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from slipway import layout
from slipway.errors import UserError


class Frozen(BaseModel):
    """Base of every settings model: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def refuse_bare(value: Any, info: ValidationInfo) -> Any:
    """Stop at a date without quotes in `params.yaml`: DVC refuses a file that holds one."""
    if info.context and isinstance(value, date):
        raise ValueError(f"put the moment in quotes: '{value}'")
    return value


def read_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file.

    Raises:
        UserError: The file is missing or is not YAML; the message says in which line.
    """
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the project's root") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except MarkedYAMLError as error:
        if re.search("^<{7} ", path.read_text(encoding="utf-8"), re.MULTILINE):
            after = ", either side will do, and run `make repro`" if path.suffix == ".lock" else ""
            raise UserError(f"{path}: holds a merge conflict; resolve it{after}") from None
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}") from None
    except (YAMLError, ValueError, TypeError, LookupError, RecursionError, OSError) as error:  # as of 2024-13-45
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not valid YAML: {reason}") from None


def load(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into a model.

    Args:
        path: The file; its name is used in messages as given.
        model: The Pydantic model that the whole file must satisfy.

    Raises:
        UserError: The file is missing, is not YAML, or breaks the model.
    """
    content = read_yaml(path)
    try:
        return model.model_validate(content if content is not None else {}, context={"file": path})
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Turn the first failures of a Pydantic validation into one line: path, what is wrong, what was got."""
    parts = []
    for failure in error.errors(include_url=False)[:3]:
        where = ".".join(str(step) for step in failure["loc"] if not str(step).startswith("function-"))
        message = failure["msg"].removeprefix("Value error, ")
        if failure["type"] == "model_type":
            parts.append(f"{where or 'the file'}: needs keys with values below it (got {failure['input']!r:.80})")
        elif failure["type"] == "extra_forbidden":
            parts.append(f"{where}: unknown key; remove it or check its spelling")
        elif failure["type"] == "missing":
            parts.append(f"{where}: this key is required")
        elif failure["type"] in {"value_error", "assertion_error"}:
            parts.append(f"{where}: {message}" if where else message)
        else:
            parts.append(f"{where}: {message} (got {failure['input']!r:.80})")
    more = error.error_count() - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def pinned(content: bytes | None) -> str | None:
    """The hash that a `.dvc` file pins, such as that of the data; None if there is none in it."""
    try:
        return str(YAML(typ="safe").load((content or b"").decode())["outs"][0]["md5"])
    except (YAMLError, LookupError, TypeError, ValueError):
        return None


def data_hash() -> str | None:
    """The hash by which DVC knows the workspace's raw data."""
    return pinned(layout.DATA_DVC.read_bytes()) if layout.DATA_DVC.is_file() else None
