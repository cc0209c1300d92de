"""Reading settings: what is wrong in a file is said in one line, with the file and the path."""

from pathlib import Path

import pytest
from helpers import write

from slipway.errors import UserError
from slipway.settings import Frozen, load, read_yaml


class Inner(Frozen):
    number: int = 1
    ratio: float = 0.5


class Outer(Frozen):
    inner: Inner = Inner()
    names: tuple[str, ...] = ()
    needed: str


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path, Outer)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def test_a_sound_file_is_read_and_frozen(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", "needed: yes # YAML 1.2: a text\ninner: {number: 3}\nnames: [a, b]\n")

    settings = load(file, Outer)

    assert settings == Outer(needed="yes", inner=Inner(number=3), names=("a", "b"))
    with pytest.raises(ValueError, match="frozen"):
        settings.needed = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("needed: a\ninner: {numbr: 3}", "FILE: inner.numbr: unknown key; remove it or check its spelling"),
        ("inner: {number: 3}", "FILE: needed: this key is required"),
        ("", "FILE: needed: this key is required"),
        ("needed: a\ninner: {number: many}", "FILE: inner.number: Input should be a valid integer, unable to parse"),
        ("needed: a\ninner: 3", "FILE: inner: needs keys with values below it (got 3)"),
        ("needed: a\nnames: [a, 3]", "FILE: names.1: Input should be a valid string (got 3)"),
        ("- a\n- b", "FILE: the file: needs keys with values below it"),
        ("needed: [a\nb: 1", "FILE, line "),
        ("needed: a\nneeded: b", "FILE, line "),
        ("needed: a\n\tinner: 3", "FILE, line "),
    ],
)
def test_a_fault_is_named_with_its_path(text: str, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "a.yaml", text)).startswith(message)


def test_several_faults_come_together(tmp_path: Path) -> None:
    text = "a: 1\nb: 2\nc: 3\nd: 4\n"

    message = refusal(write(tmp_path, "a.yaml", text))

    assert message.startswith("FILE: needed: this key is required; a: unknown key")
    assert message.endswith("; and 2 more")


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yaml").startswith("FILE: no such file")

    (tmp_path / "latin.yaml").write_bytes("needed: caf\u00e9".encode("latin-1"))
    assert refusal(tmp_path / "latin.yaml").startswith("FILE: not UTF-8 text")

    (tmp_path / "nul.yaml").write_bytes(b"needed: \x00")
    assert refusal(tmp_path / "nul.yaml").startswith("FILE: not valid YAML")


@pytest.mark.parametrize("text", ["a: 2024-13-45\n", "a: !!int abc\n", "? [a, [b]]\n: 1\n", "[" * 5000])
def test_values_that_yaml_cannot_make_are_one_line(tmp_path, text):
    path = tmp_path / "some.yaml"
    path.write_text("a: 2024-12-05\n", encoding="utf-8")
    assert read_yaml(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"some\.yaml.*not valid YAML") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
