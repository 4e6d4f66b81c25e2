"""Columns on a terminal, plain enough for ``grep`` and ``awk``."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def show(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print left-aligned columns, two spaces apart; what a terminal would act on is shown as a question mark."""
    lines = [tuple(headings), *(tuple(map(_printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _printable(cell: object) -> str:
    return "".join(character if character.isprintable() else "?" for character in str(cell))
