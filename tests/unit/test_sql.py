"""The loader of named statements."""

from __future__ import annotations

from pathlib import Path

import pytest

from waiting_room.store import sql

QUERIES = Path(sql.__file__).parent / "queries"


@pytest.fixture
def queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of queries of our own, beside a loader that is told so."""
    monkeypatch.setattr(sql, "__file__", str(tmp_path / "sql.py"))
    folder = tmp_path / "queries"
    folder.mkdir()
    return folder


def test_statements_are_found_by_name_with_their_comments(queries: Path) -> None:
    (queries / "x.sql").write_text(
        "-- a note to the file\n\n-- first --\n-- why\nSELECT 1;\n\n-- second --\nSELECT 2;\n"
    )
    assert dict(sql.load("x")) == {"first": "-- why\nSELECT 1;", "second": "SELECT 2;"}


def test_a_name_given_twice_is_refused(queries: Path) -> None:
    (queries / "x.sql").write_text("-- first --\nSELECT 1;\n-- first --\nSELECT 2;\n")
    with pytest.raises(ValueError, match=r"x\.sql names a statement twice"):
        sql.load("x")


def test_a_statement_cannot_be_changed_after_loading(queries: Path) -> None:
    (queries / "x.sql").write_text("-- first --\nSELECT 1;\n")
    with pytest.raises(TypeError):
        sql.load("x")["first"] = "SELECT 2;"  # type: ignore[index]


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_every_file_of_ours_holds_one_statement_a_name(path: Path) -> None:
    statements = sql.load(path.stem)
    assert statements
    for name, text in statements.items():
        code = [line for line in text.splitlines() if not line.startswith("--")]
        assert "".join(code).count(";") == 1, name
        assert text.endswith(";"), name
