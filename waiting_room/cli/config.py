"""``config``: every setting, its default and meaning. docs/configuration.md is what ``--markdown`` prints."""

from __future__ import annotations

from typing import Annotated

import typer

from waiting_room.settings import described

_HEAD = """\
# Configuration

Every process reads these from its environment when it starts, and says in one line what is wrong with them. This page
is written by `python -m waiting_room config --markdown`.

| variable | default | meaning |
|---|---|---|
"""


def config(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/configuration.md holds it.")] = False,
) -> None:
    """Print every setting, its default and what it means."""
    typer.echo(as_markdown() if markdown else as_text(), nl=False)


def as_markdown() -> str:
    """The page docs/configuration.md."""
    rows = (
        f"| `{name}` | {f'`{default}`' if default else ''} | {meaning.replace('|', chr(92) + '|')} |"
        for name, default, meaning in described()
    )
    return _HEAD + "\n".join(rows) + "\n"


def as_text() -> str:
    """For a terminal: ``NAME=default``, and the meaning under it."""
    return "".join(f"{name}={default}\n    {meaning}\n" for name, default, meaning in described())
