"""Clinics on their way from one partition to another: what of a move is done, so that it can be taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from waiting_room.messages import DirectoryEntry, Moved
from waiting_room.store import directory, directory_outbox, sql
from waiting_room.store.directory import Refused
from waiting_room.store.pool import Connection
from waiting_room.topics import CLINIC_DIRECTORY

_SQL = sql.load("moves")


class Move(NamedTuple):
    """A move whose marker hold has not read. With ``map_version`` the clinic's commands go to ``to_partition``."""

    clinic_id: str
    map_version: int
    from_partition: int
    to_partition: int

    @property
    def marker(self) -> Moved:
        return Moved(clinic_id=self.clinic_id, map_version=self.map_version, to_partition=self.to_partition)


async def is_there(conn: Connection, clinic_id: str, partition: int) -> bool:
    """Whether nothing is left to do for a move to there. Raises Refused if there is no such clinic."""
    clinic = await conn.fetchrow(_SQL["clinic"], clinic_id)
    if clinic is None:
        raise Refused(f"there is no clinic {clinic_id}")
    return clinic["partition"] == partition and await conn.fetchrow(_SQL["unfinished"], clinic_id) is None


async def begin(conn: Connection, clinic_id: str, partition: int) -> Move | None:
    """Have the clinic's commands go to ``partition`` from now on, inside the caller's transaction.

    The move to there that was begun before and is not finished, if there is one; None if the clinic is there. Raises
    Refused where there is no such clinic, or another move of it is not finished.
    """
    await directory.lock(conn)
    if await is_there(conn, clinic_id, partition):
        return None
    unfinished = await conn.fetchrow(_SQL["unfinished"], clinic_id)
    if unfinished is not None:
        move = Move(*unfinished)
        if move.to_partition != partition:
            raise Refused(
                f"clinic {clinic_id} is still on its way from partition {move.from_partition} to {move.to_partition}; "
                f"finish that first: directory move {clinic_id} {move.to_partition}"
            )
        return move
    await directory.renew_rules(conn, [clinic_id])
    [begun] = await conn.fetch(_SQL["begin"], clinic_id, partition)
    changed = await directory.load(conn, [clinic_id])
    await directory_outbox.append(conn, [DirectoryEntry(clinic=clinic) for clinic in changed])
    return Move(*begun)


async def is_announced(conn: Connection, clinic_id: str) -> bool:
    """Whether relay has published all that has changed about the clinic."""
    return bool(await conn.fetchval(_SQL["is_announced"], CLINIC_DIRECTORY, clinic_id))


async def marker_written(conn: Connection, move: Move) -> None:
    await conn.execute(_SQL["marker_written"], move.clinic_id, move.map_version)


async def seconds_taken(conn: Connection, move: Move) -> float | None:
    """From the change of the map until hold had read the marker, which is the end of the move; None until then."""
    seconds: float | None = await conn.fetchval(_SQL["seconds_taken"], move.clinic_id, move.map_version)
    return seconds


async def marker_read(conn: Connection, markers: Sequence[Moved]) -> list[str]:
    """Note that these were read, with their clinics locked. The clinics whose moves that has ended."""
    rows = await conn.fetch(
        _SQL["marker_read"], [each.clinic_id for each in markers], [each.map_version for each in markers]
    )
    return [row["clinic_id"] for row in rows]


async def newest(conn: Connection) -> int:
    """The number of the move that was begun last; 0 if there was none."""
    return int(await conn.fetchval(_SQL["newest"]))


async def since(conn: Connection, move_id: int) -> list[tuple[int, str]]:
    """(number, clinic_id) of the moves begun after that one, in their order."""
    return [(row["move_id"], row["clinic_id"]) for row in await conn.fetch(_SQL["since"], move_id)]
