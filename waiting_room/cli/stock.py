"""``stock``: what is there, what is spoken for, whether the ledger balances, and who goes short."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from waiting_room.cli import table
from waiting_room.cli.run import NotDone, connect, run, write_file
from waiting_room.settings import Settings
from waiting_room.store import stock as store


def stock(
    clinic: Annotated[str | None, typer.Option(help="Of this clinic only.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file too.")] = None,
) -> None:
    """Report every lot, reconciled with its movements and claims, who goes short, and who was rebooked for that.

    Ends with 0 if all of it balances, 1 if not. Needs the role audit.
    """
    run(lambda settings: _stock(settings, clinic, json))


async def _stock(settings: Settings, clinic: str | None, json: Path | None) -> None:
    async with (
        connect(settings) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if clinic is not None and not await store.knows(connection, clinic):
            raise NotDone(f"there is no clinic {clinic}")
        lots, short = await store.report(connection, clinic), await store.short(connection, clinic)
        rebooked = await store.rebooked(connection, clinic)
    if json is not None:
        rows = {"lots": [each._asdict() for each in lots], "short": [each._asdict() for each in short]}
        rows["rebooked"] = [each._asdict() for each in rebooked]
        write_file(json, msgspec.json.encode(rows))
    table.show(
        ("clinic", "product", "pool", "lot", "expires", "on hand", "reserved", "free", "administered", "wasted", ""),
        [
            (
                each.clinic_id,
                each.product,
                each.pool,
                each.lot,
                each.expires_on,
                each.on_hand,
                each.reserved,
                each.on_hand - each.reserved,
                each.administered,
                each.wasted,
                "" if each.balanced else "DOES NOT BALANCE",
            )
            for each in lots
        ],
    )
    for each in short:
        typer.echo(f"short of {each.doses} {each.product}: {each.booking_ref}, {each.start_at:%Y-%m-%d %H:%M} UTC")
    for moved in rebooked:
        became = moved.outcome or "asked of its clinic"
        typer.echo(
            f"rebooked for want of {moved.product}: {moved.booking_ref}, {moved.start_at:%Y-%m-%d %H:%M} UTC, {became}"
        )
    if unbalanced := sum(not each.balanced for each in lots):
        typer.echo(f"NOT BALANCED: {unbalanced} lots")
        raise typer.Exit(1)
    typer.echo(f"balanced: {len(lots)} lots; {len(short)} bookings short")
