"""``saga``: the steps a booking goes through and what undoes them. docs/saga.md is what ``--markdown`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from waiting_room.domain.appointment import PUBLIC_EVENTS, EventType
from waiting_room.domain.saga import SAGA, Step

_HEAD = """\
# The saga of a booking

A booking is held, verified where its service asks for it ([eligibility](eligibility.md)), and confirmed by its clinic.
Each step stores what has come of it before the next one begins, each may be done again after a crash, and each has its
undo. The table is `waiting_room/domain/saga.py`, which the code goes by; this page is written by
`python -m waiting_room saga --markdown`.

| step | run by | a pending booking is at it while its stage is | it is over with | it ends the booking with |
|---|---|---|---|---|
"""
_UNDO = """
Once it is decided that a booking is not to be (`booking.rejected`, `booking.cancelled`, `booking.no_show`), what its
steps have left is undone, the last one first, in the transactions that write these events:

| step | leaves | undo | undone by |
|---|---|---|---|
"""
_FOOT = """
Events in *italics* are for the history only; the others are told to [webhooks](webhooks.md). `confirm` is skipped where
the platform keeps the calendar: there `booking.confirmed` stands in the transaction of the step before. What has run
out of time is noticed by whoever comes by it first: confirm before a call, hold where it is in somebody's way, sweep.
"""


def saga(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/saga.md holds it.")] = False,
) -> None:
    """Print the steps a booking goes through and what undoes each."""
    typer.echo(as_markdown() if markdown else as_text(), nl=False)


def as_markdown() -> str:
    """The page docs/saga.md."""
    forward = (
        _row(
            step.name,
            _codes(step.run_by),
            _codes(step.stages),
            _events(step.done),
            f"{_codes(step.refused)}; out of time: `{step.out_of_time}`",
        )
        for step in SAGA
    )
    undo = (_row(step.name, step.leaves, step.undo, _events(step.undone_by) or "-") for step in SAGA)
    return _HEAD + "".join(forward) + _UNDO + "".join(undo) + _FOOT


def as_text() -> str:
    """For a terminal: a step a paragraph."""
    return "\n".join(map(_paragraph, SAGA))


def _paragraph(step: Step) -> str:
    return (
        f"{step.name} (run by {', '.join(step.run_by)})\n"
        f"    over with:  {', '.join(step.done)}\n"
        f"    refused:    {', '.join(step.refused)}; out of time: {step.out_of_time}\n"
        f"    leaves:     {step.leaves}\n"
        f"    undo:       {step.undo}\n"
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _events(events: Iterable[EventType]) -> str:
    return ", ".join(f"`{event}`" if event in PUBLIC_EVENTS else f"*{event}*" for event in events)
