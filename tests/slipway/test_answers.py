"""The table that was named when the project was made."""

from pathlib import Path

import pytest

from slipway.answers import ANSWERS, Promised, promised, table
from slipway.errors import UserError


@pytest.mark.parametrize(
    ("data", "path", "target"),
    [
        ("t.csv:y", "t.csv", "y"),
        ("t.csv:y:z", "t.csv", "y:z"),
        ("a:b.csv:y", "a:b.csv", "y"),
        ("a:b.csv", "a:b.csv", ""),
        ("gone.csv:y", "gone.csv", "y"),
        ("gone.csv", "gone.csv", ""),
        ("C:/gone.csv", "C:/gone.csv", ""),
    ],
)
def test_a_colon_parts_a_path_from_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, path: str, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "a:b.csv"):
        (tmp_path / name).touch()
    ANSWERS.write_text(f"data: '{data}'\n")

    assert promised() == Promised(Path(path), target)


@pytest.mark.parametrize("answers", [None, "data: demo\n", "data: ' '\n", "data: 3\n", "[]\n"])
def test_no_table_was_named(tmp_path: Path, answers: str | None) -> None:
    if answers is not None:
        (tmp_path / ANSWERS).write_text(answers)

    assert promised(tmp_path) is None


def test_a_table_that_is_not_there_is_told_with_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no data yet; bring your own: make adopt FILE="):
        table()
    ANSWERS.write_text("data: demo../t.csv:y\n")
    with pytest.raises(
        UserError, match=r"^demo\.\./t\.csv: .*copier-answers\.yml: data.*make adopt FILE=<path> TARGET="
    ):
        table()
    (tmp_path / "t.csv").touch()
    ANSWERS.write_text("data: t.csv:y\n")
    assert table() == Promised(Path("t.csv"), "y")
