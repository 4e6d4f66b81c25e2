"""What a PromQL expression reads, by a real parser."""

from __future__ import annotations

from typing import NamedTuple

import promql_parser

from dashboards.board import CLINIC


class NotPromql(ValueError):
    """The expression is none; the message says where."""


class Selector(NamedTuple):
    """A series name that is read, and the labels it is selected by."""

    name: str
    labels: frozenset[str]


def selectors(expr: str) -> set[Selector]:
    """Everything that ``expr`` reads; what is chosen at the top of a board counts as any text. Raises NotPromql."""
    found: set[Selector] = set()

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            labels = {matcher.name for matcher in node.matchers.matchers}
            found.add(Selector(node.name or "", frozenset(labels)))
        return True

    try:
        promql_parser.walk(promql_parser.parse(expr.replace(CLINIC, ".*")), visit)
    except ValueError as error:
        raise NotPromql(f"{expr}: {error}") from error
    return found
