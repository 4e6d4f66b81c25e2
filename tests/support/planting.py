"""How offences are planted in an audited world: in the database, by hold, or in what others recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.support.audited import World
from tests.support.commands import IN_TIME, appended
from tests.support.holding import DEADLINES
from tests.support.patients import WHOM
from waiting_room.audit.offences import Kind
from waiting_room.messages import Book, Cancel
from waiting_room.store.pool import Connection
from workers.hold.batch import Batch

Deed = Callable[[Connection, World], Awaitable[None]]


@dataclass(frozen=True)
class Plant:
    """``kinds`` is all that the audit must say, ``found`` the name or ref of a booking it must name."""

    what: str
    kinds: frozenset[Kind]
    deed: Deed
    found: str | None = None
    resting: bool = True
    in_database: bool = False


def by_sql(what: str, name: str | None, statements: str, *kinds: Kind, resting: bool = True) -> Plant:
    """``{name}`` in the statements stands for that booking's ref. Triggers, foreign keys and constraints are off."""

    async def deed(owner: Connection, world: World) -> None:
        await owner.execute(
            "SET session_replication_role = replica; ALTER TABLE seat_claims DROP CONSTRAINT seat_claims_no_overlap;"
        )
        await owner.execute(statements.format_map({key: f"'{ref}'" for key, ref in world.refs.items()}))

    return Plant(what, frozenset(kinds), deed, name, resting, in_database=True)


def by_hold(
    what: str, name: str | None, command: Callable[[World], Book | Cancel], *kinds: Kind, first: str = ""
) -> Plant:
    """Have hold process what it should not have."""

    async def deed(owner: Connection, world: World) -> None:
        if first:
            await owner.execute(first.format_map({key: f"'{ref}'" for key, ref in world.refs.items()}))
        item = command(world)
        [in_time] = appended(item) or appended(_in_time(item))
        async with owner.transaction():
            await Batch(owner, {}, DEADLINES, WHOM).work([in_time])

    return Plant(what, frozenset(kinds), deed, name, resting=False, in_database=True)


def _in_time(command: Book | Cancel) -> Book | Cancel:
    return msgspec.structs.replace(command, accept_by=datetime.now(UTC) + IN_TIME)


def in_ledger(what: str, name: str, *kinds: Kind, **changes: Any) -> Plant:
    """Change the answer of a caller."""

    async def deed(_: Connection, world: World) -> None:
        [told] = [each for each in world.ledger if each["booking_ref"] == world.refs[name]]
        told.update(changes)

    return Plant(what, frozenset(kinds), deed, changes.get("booking_ref", name))


def in_clinic_record(
    what: str, name: str, change: Callable[[dict[str, Any]], list[dict[str, Any]]], *kinds: Kind, found: str = ""
) -> Plant:
    """Replace a line of the clinics' own record."""

    async def deed(_: Connection, world: World) -> None:
        [line] = [each for each in world.kept if each["booking_ref"] == world.refs[name]]
        world.kept.remove(line)
        world.kept.extend(change(line))

    return Plant(what, frozenset(kinds), deed, found or name)


def at_receiver(what: str, name: str, change: Callable[[dict[str, Any]], list[dict[str, Any]]], *kinds: Kind) -> Plant:
    """Replace the first line of what a receiver has seen of a booking."""

    async def deed(_: Connection, world: World) -> None:
        line = next(each for each in world.received if each["booking_ref"] == world.refs[name])
        world.received.remove(line)
        world.received.extend(change(line))

    return Plant(what, frozenset(kinds), deed, name)
