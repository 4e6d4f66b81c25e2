"""A point in time as a person types it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import typer

EXAMPLE: Final = "2027-01-31T00:00:00Z"


def moment(text: str) -> datetime:
    """In UTC. Raises BadParameter."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"give a day, a time and an offset, such as {EXAMPLE}")
