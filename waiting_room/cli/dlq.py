"""``dlq``: look through the dead-letter topics, send records back, or settle that they are of no use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from waiting_room import dead_letter_box
from waiting_room.cli import table
from waiting_room.cli.run import No, run
from waiting_room.dead_letter_box import DeadLetter, Outcome
from waiting_room.domain.booking_ref import is_clinic_id
from waiting_room.kafka import Producer
from waiting_room.settings import Settings

app = typer.Typer(help="Records that could not be processed.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As `dlq list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All that wait.")]


@app.command("list")
def list_(
    settled: Annotated[bool, typer.Option("--settled", help="Also what was redriven or discarded.")] = False,
) -> None:
    """Show what waits. No record's contents: they may hold patients' data."""
    run(lambda settings: _list(settings, settled))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print its contents, which may hold a patient's data.")
    ] = False,
) -> None:
    """Show all that is known of one record."""
    run(lambda settings: _show(settings, name, reveal))


@app.command()
def redrive(names: Names = None, everything: All = False) -> None:
    """Send records back to where they came from. A command keeps the time it was first appended at."""
    run(lambda settings: _settle(settings, names or [], everything, dead_letter_box.redrive, Outcome.REDRIVEN))


@app.command()
def discard(names: Names = None, everything: All = False) -> None:
    """Settle that records are of no use. They stay in their topic until its retention takes them."""
    run(lambda settings: _settle(settings, names or [], everything, dead_letter_box.discard, Outcome.DISCARDED))


async def _list(settings: Settings, settled: bool) -> None:
    letters = [letter for letter in await dead_letter_box.read(settings) if settled or letter.outcome is None]
    if not letters:
        typer.echo("nothing waits")
        return
    table.show(
        ("id", "put aside", "first appended", "source", "clinic", "bytes", "state", "reason"),
        [
            (
                letter.name,
                f"{letter.put_aside_at:%Y-%m-%dT%H:%M:%SZ}",
                f"{letter.appended_at:%Y-%m-%dT%H:%M:%SZ}",
                _source(letter),
                _clinic(letter),
                len(letter.value or b""),
                letter.outcome or "waits",
                letter.reason,
            )
            for letter in letters
        ],
    )


async def _show(settings: Settings, name: str, reveal: bool) -> None:
    [letter] = _named(await dead_letter_box.read(settings), [name])
    typer.echo(f"id              {letter.name}")
    typer.echo(f"state           {letter.outcome or 'waits'}")
    typer.echo(f"reason          {letter.reason}")
    typer.echo(f"source          {_source(letter)}")
    typer.echo(f"first appended  {letter.appended_at.isoformat()}")
    typer.echo(f"put aside       {letter.put_aside_at.isoformat()}")
    for header, value in letter.headers:
        typer.echo(
            f"header          {header}, {len(value)} bytes" if not reveal else f"header          {header}: {value!r}"
        )
    for what, content in (("key", letter.key), ("value", letter.value)):
        size = "none" if content is None else f"{len(content)} bytes"
        typer.echo(f"{what:<16}{size if not reveal or content is None else repr(content)}")


async def _settle(
    settings: Settings,
    names: Sequence[str],
    everything: bool,
    deal_with: Callable[[Producer, DeadLetter], Awaitable[None]],
    outcome: Outcome,
) -> None:
    if bool(names) == everything:
        raise typer.BadParameter("give ids, or --all")
    letters = await dead_letter_box.read(settings)
    chosen = _named(letters, names) if names else [letter for letter in letters if letter.outcome is None]
    if mistakes := [why for letter in chosen if (why := _why_not(letter, outcome))]:
        raise No("\n".join(mistakes))
    producer = Producer(settings)
    await producer.start()
    try:
        for letter in chosen:
            await deal_with(producer, letter)
            typer.echo(f"{outcome} {letter.name}")
    finally:
        await producer.stop()


def _named(letters: Sequence[DeadLetter], names: Sequence[str]) -> list[DeadLetter]:
    there = {letter.name: letter for letter in letters}
    if unknown := [name for name in names if name not in there]:
        raise No("\n".join(f"there is no {name}" for name in unknown))
    return [there[name] for name in dict.fromkeys(names)]


def _why_not(letter: DeadLetter, outcome: Outcome) -> str | None:
    if letter.outcome is not None:
        return f"{letter.name} was {letter.outcome} already"
    if outcome is Outcome.REDRIVEN and not letter.has_source:
        return f"{letter.name} does not say where it came from"
    return None


def _source(letter: DeadLetter) -> str:
    return f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}" if letter.has_source else "unknown"


def _clinic(letter: DeadLetter) -> str:
    """Keys are clinic ids where all is well; what else stands there is not shown."""
    key = (letter.key or b"").decode(errors="replace")
    return key if is_clinic_id(key) else "-"
