"""The loader of named statements."""

from __future__ import annotations

import re
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


_CHANGES_ITS_SESSION = re.compile(
    r"\b(pg_(try_)?advisory_lock(_shared)?\b|set_config|LISTEN\b|DECLARE\b|SET\s+(SESSION\b|\w+\s+(=|TO\b))|CREATE\s+TEMP)",
    re.IGNORECASE,
)
_HAVE_A_CONNECTION_OF_THEIR_OWN = {
    "outbox.try_to_lead",
    # Of the command line, which has no pool.
    "storage.only_one",
    "storage.be_brief",
    "archive_ranges.take_time",
}


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_no_statement_leaves_a_mark_on_a_connection_that_goes_back_to_its_pool(path: Path) -> None:
    marks = {f"{path.stem}.{name}" for name, text in sql.load(path.stem).items() if _leaves_a_mark(text)}
    assert marks <= _HAVE_A_CONNECTION_OF_THEIR_OWN


def _leaves_a_mark(text: str) -> bool:
    """Updates set columns, and are none."""
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    return bool(_CHANGES_ITS_SESSION.search(re.sub(r"\bUPDATE\b.*?\bSET\b", "", code, flags=re.DOTALL | re.IGNORECASE)))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pg_advisory_lock(1)",
        "SELECT set_config('a', 'b', FALSE)",
        "LISTEN x",
        "SET lock_timeout = '1s'",
        "CREATE TEMP TABLE x (y int)",
    ],
)
def test_the_rule_knows_such_a_statement(text: str) -> None:
    assert _leaves_a_mark(text)
    assert not _leaves_a_mark("UPDATE x SET y = 1")
