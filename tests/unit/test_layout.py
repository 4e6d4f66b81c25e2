"""Rules of the tree that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("waiting_room", "ingress", "workers", "clinic_adapter")
LONGEST_FILE = 320
_SQL = re.compile(
    r"^\s*(SELECT\s.+|INSERT\s+INTO\s|UPDATE\s+\w+\s+(AS\s+\w+\s+)?SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\(|ALTER\s+\w+\s)",
    re.IGNORECASE | re.DOTALL,
)


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def texts(path: Path) -> Iterator[str]:
    """Every string constant that is no docstring."""
    tree = ast.parse(path.read_text())
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_sql_stands_only_in_the_store() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text.strip()[:60]}"
        for path in sources(*PROGRAMS)
        if "store" not in path.relative_to(ROOT).parts
        for text in texts(path)
        if _SQL.match(text)
    ]
    assert not found


@pytest.mark.parametrize("text", ["SELECT 1 FROM x", "insert into x values (1)", "DELETE FROM x", "UPDATE x SET y = 1"])
def test_the_rule_knows_sql_when_it_sees_it(text: str) -> None:
    assert _SQL.match(text)


def test_no_file_has_grown_past_one_reason_to_change() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(*PROGRAMS, "devstack", "loadtest", "dashboards", "tests")
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long


def test_packages_re_export_nothing() -> None:
    assert not [
        path
        for path in sources(*PROGRAMS, "devstack", "loadtest", "dashboards")
        if path.name == "__init__.py" and path.read_text()
    ]
