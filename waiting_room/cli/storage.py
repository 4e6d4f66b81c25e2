"""``storage``: months of seat claims, made before they are needed and put away when they are past."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from waiting_room import storage as months
from waiting_room.cli.run import No, connect, once_started, run
from waiting_room.settings import Settings
from waiting_room.storage import BEYOND_DAYS, Done, Limits
from waiting_room.store.faults import passes
from waiting_room.supervise import pause, stop_on_signals

A_DAY_SECONDS: Final = 86_400.0
AGAIN_SECONDS: Final = 600.0
"""Where it could not be done, or not all of it."""


def storage(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; status 1 if something is overdue.")] = False,
    daily: Annotated[bool, typer.Option("--daily", help="Go on, once a day, until told to stop.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for PostgreSQL to start.")] = 0,
) -> None:
    """Keep the months of seat claims. Connect as the schema's owner; to check, as who reads bookings."""
    run(_check if check else _daily if daily else lambda settings: _once(settings, wait))


async def _check(settings: Settings) -> None:
    async with connect(settings) as connection:
        stands = await months.look(connection, Limits.of(settings))
    said = (
        f"seats can be claimed for {stands.spare} days beyond the furthest that may be booked; "
        f"{stands.overdue} days are overdue to be put away"
    )
    if stands.spare < BEYOND_DAYS // 2 or stands.overdue > 7:
        raise No(said)
    typer.echo(said)


async def _once(settings: Settings, wait: float) -> None:
    await once_started(wait, lambda: _look_after(settings))


async def _daily(settings: Settings) -> None:
    stop = stop_on_signals()
    while not stop.is_set():
        try:
            done = await _look_after(settings)
            all_done = done is not None and not done.busy
        except Exception as error:
            if not passes(error):
                raise
            typer.echo(f"not done: {error}", err=True)
            all_done = False
        await pause(stop, A_DAY_SECONDS if all_done else AGAIN_SECONDS)


async def _look_after(settings: Settings) -> Done | None:
    async with connect(settings) as connection:
        done = await months.look_after(connection, Limits.of(settings))
    if done is None:
        typer.echo("somebody else is at it")
        return None
    typer.echo(f"{done.added} months added, {_names(done.put_away)} put away, {_names(done.dropped)} dropped")
    if done.busy:
        typer.echo(f"in use all the time, to be done next time: {_names(done.busy)}", err=True)
    return done


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"
