"""``archive``: months of archived bookings that ``storage`` has put away, written to files and dropped."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Annotated

import typer

from waiting_room.cli import table
from waiting_room.cli.run import No, NotDone, connect, run
from waiting_room.settings import Settings
from waiting_room.store import archive_ranges as months
from waiting_room.store.archive_ranges import Month
from waiting_room.store.pool import Connection

app = typer.Typer(help="Months of archived bookings. Connect as the schema's owner.", no_args_is_help=True)

Label = Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM, as `archive list` shows it.")]
File = Annotated[Path, typer.Option("--file", help="JSON lines, compressed with gzip.")]


@app.command("list")
def list_() -> None:
    """Show every month, and where it is."""
    run(_list)


@app.command()
def export(label: Label, file: File) -> None:
    """Write a month that was put away to a file: a line for each booking, with all that is known of it."""
    run(lambda settings: _export(settings, label, file))


@app.command()
def drop(label: Label, file: File) -> None:
    """Drop a month that was put away and written to this file, which is read first."""
    run(lambda settings: _drop(settings, label, file))


async def _list(settings: Settings) -> None:
    async with connect(settings) as connection:
        rows = [(each.label, "being detached" if each.going else "") for each in await months.attached(connection)]
        rows += [(each.label, "detached") for each in await months.loose(connection)]
        rows += [(each.label, "put away") for each in await months.put_away(connection)]
    table.show(("month", ""), sorted(rows))


async def _export(settings: Settings, label: str, file: Path) -> None:
    async with connect(settings) as connection:
        month = await _month(connection, label)
        try:
            with file.open("xb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as compressed:

                async def write(piece: bytes) -> None:
                    compressed.write(piece)

                await months.export(connection, month, write)
                compressed.close()
                os.fsync(raw.fileno())
        except OSError as error:
            raise NotDone(f"{file}: {error.strerror}") from error
        await _require_whole(connection, month, file)
    typer.echo(f"{file} has all of {label}")


async def _drop(settings: Settings, label: str, file: Path) -> None:
    async with connect(settings) as connection:
        month = await _month(connection, label)
        await _require_whole(connection, month, file)
        await months.drop(connection, month)
    typer.echo(f"{label} is in {file} only")


async def _month(connection: Connection, label: str) -> Month:
    await months.take_time(connection)
    for month in await months.put_away(connection):
        if month.label == label:
            return month
    raise No(f"{label} was not put away, or is dropped; see `archive list`")


async def _require_whole(connection: Connection, month: Month, file: Path) -> None:
    """Raises No where the file is another, or not whole: its checksum, and that it has each of the month's lines."""
    wanted = await months.digest(connection, month)
    try:
        with gzip.open(file, "rb") as lines:
            found = months.digest_of(lines)
    except (OSError, EOFError) as error:
        raise No(f"{file} cannot be read: {error}") from error
    if found != wanted:
        raise No(f"{file} is not what is in {month.label}: {found.lines} bookings of {wanted.lines}, or others")
