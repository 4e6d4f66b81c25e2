"""Claims and outcomes of clinic calls on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.support.commands import appended, book, cancel
from tests.support.database import Database
from tests.support.holding import Hold
from tests.support.world import ClinicSpec, clinics, seed, settings_for
from waiting_room.domain.clinic_call import Booked, CallKind, ClinicSystem, Failed, NotThere, Withdrawn
from waiting_room.domain.failures import Failure
from waiting_room.messages import Book
from waiting_room.store import calls
from waiting_room.store.calls import Claim, Claimed, Finished, Later, Outcome, Recorded
from waiting_room.store.pool import Pool, create_pool

REST = "http://127.0.0.1:9/clinics"
LEASE = 15.0


class Confirm:
    """One worker's claims and outcomes, each in a transaction of its own, with confirm's own login."""

    def __init__(self, pool: Pool, systems: dict[str, ClinicSystem]) -> None:
        self.pool = pool
        self.systems = systems

    async def claim(self, command: Book, claimant: str = "A", lease: float = LEASE) -> Claimed:
        key = (command.clinic_id, command.booking_ref)
        async with self.pool.acquire() as conn, conn.transaction():
            found, _ = await calls.claim(conn, {key: claimant}, self.systems, lease)
        return found[key]

    async def record(self, command: Book, attempt: int, answer: Any) -> Recorded:
        key = (command.clinic_id, command.booking_ref)
        async with self.pool.acquire() as conn, conn.transaction():
            found, _ = await calls.record(conn, [Outcome(key, attempt, answer, 1.0)], self.systems)
        return found[key]


class World:
    def __init__(self, database: Database, hold: Hold, confirm: Confirm, clinic: ClinicSpec) -> None:
        self.database, self.hold, self.confirm, self.clinic = database, hold, confirm, clinic

    async def held(self, key: str = "key") -> Book:
        command = book(self.clinic, key)
        await self.hold(appended(command))
        return command

    async def row(self) -> asyncpg.Record:
        async with self.database.owner() as owner:
            row = await owner.fetchrow(
                "SELECT *, (SELECT count(*) FROM seat_claims) AS claims FROM appointments ORDER BY ticket LIMIT 1"
            )
        assert row is not None
        return row

    async def make_time_pass(self, seconds: float) -> None:
        """Everything recorded so far happened that much earlier."""
        async with self.database.owner() as owner:
            await owner.execute(
                """
                UPDATE call_attempts SET claimed_at = claimed_at - $1 * interval '1 s',
                lease_until = lease_until - $1 * interval '1 s', ended_at = ended_at - $1 * interval '1 s'
                """,
                seconds,
            )
            await owner.execute(
                "UPDATE appointments SET next_attempt_at = next_attempt_at - $1 * interval '1 s'", seconds
            )


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    (clinic,) = clinics(1, endpoint=REST, settle_seconds=20.0)
    async with database.owner() as owner:
        await seed(owner, [clinic])
    hold_pool = await create_pool(settings_for(database, None, "hold"), "hold")
    confirm_pool = await create_pool(settings_for(database, None, "confirm"), "confirm")
    async with confirm_pool.acquire() as conn:
        systems = await calls.load_systems(conn, [clinic.clinic_id])
    yield World(database, Hold(hold_pool), Confirm(confirm_pool, systems), clinic)
    await hold_pool.close()
    await confirm_pool.close()


async def test_a_booking_is_claimed_once_and_confirmed(world: World) -> None:
    command = await world.held()
    claimed = await world.confirm.claim(command)
    assert isinstance(claimed, Claim)
    assert (claimed.kind, claimed.attempt) == (CallKind.CONFIRM, 1)
    other = await world.confirm.claim(command, "B")
    assert isinstance(other, Later)
    assert other.elsewhere
    assert 10 < other.seconds <= LEASE

    recorded = await world.confirm.record(command, claimed.attempt, Booked("theirs-1"))
    assert recorded.decided
    assert recorded.again_seconds is None
    row = await world.row()
    assert (row["status"], row["clinic_state"], row["clinic_booking_id"]) == ("confirmed", "booked", "theirs-1")
    assert row["claims"] == 1
    assert isinstance(await world.confirm.claim(command), Finished)


async def test_what_a_crash_left_is_looked_up_after_its_lease_and_believed_when_it_has_settled(world: World) -> None:
    command = await world.held()
    assert isinstance(await world.confirm.claim(command, "crashed"), Claim)
    await world.make_time_pass(LEASE + 1)
    lookup = await world.confirm.claim(command, "heir")
    assert isinstance(lookup, Claim)
    assert lookup.kind is CallKind.LOOKUP
    too_early = await world.confirm.record(command, lookup.attempt, NotThere())
    assert (await world.row())["clinic_state"] == "unknown"
    assert too_early.again_seconds is not None
    assert too_early.again_seconds > 10
    await world.make_time_pass(21)
    again = await world.confirm.claim(command, "heir")
    assert isinstance(again, Claim)
    assert again.kind is CallKind.LOOKUP
    await world.confirm.record(command, again.attempt, NotThere())
    assert (await world.row())["clinic_state"] == "none"
    await world.make_time_pass(2)
    anew = await world.confirm.claim(command, "heir")
    assert isinstance(anew, Claim)
    assert anew.kind is CallKind.CONFIRM


async def test_the_answer_of_a_zombie_does_not_undo_its_heir(world: World) -> None:
    command = await world.held()
    zombie = await world.confirm.claim(command, "zombie")
    assert isinstance(zombie, Claim)
    await world.make_time_pass(LEASE + 1)
    heir = await world.confirm.claim(command, "heir")
    assert isinstance(heir, Claim)
    await world.confirm.record(command, zombie.attempt, Failed(Failure.UNAVAILABLE))
    assert (await world.row())["clinic_state"] == "unknown"
    await world.confirm.record(command, zombie.attempt, Booked("theirs-1"))
    assert (await world.row())["status"] == "confirmed"


async def test_a_cancel_during_the_call_is_withdrawn_and_keeps_the_seat_until_then(world: World) -> None:
    command = await world.held()
    claimed = await world.confirm.claim(command)
    assert isinstance(claimed, Claim)
    await world.hold(appended(cancel(command), first_offset=1))
    assert (await world.row())["claims"] == 1
    recorded = await world.confirm.record(command, claimed.attempt, Booked("theirs-1"))
    assert recorded.again_seconds == 0
    row = await world.row()
    assert (row["status"], row["clinic_state"], row["claims"]) == ("cancelled", "withdrawing", 1)
    withdraw = await world.confirm.claim(command)
    assert isinstance(withdraw, Claim)
    assert withdraw.kind is CallKind.WITHDRAW
    await world.confirm.record(command, withdraw.attempt, Withdrawn())
    row = await world.row()
    assert (row["clinic_state"], row["claims"]) == ("none", 0)


async def test_a_refusal_frees_the_seat(world: World) -> None:
    command = await world.held()
    claimed = await world.confirm.claim(command)
    assert isinstance(claimed, Claim)
    recorded = await world.confirm.record(command, claimed.attempt, Failed(Failure.REFUSED))
    assert recorded.decided
    row = await world.row()
    assert (row["status"], row["reason"], row["claims"]) == ("rejected", "clinic_refused", 0)


async def test_the_database_itself_refuses_a_second_open_call(world: World) -> None:
    command = await world.held()
    assert isinstance(await world.confirm.claim(command), Claim)
    async with world.database.owner() as owner:
        with pytest.raises(asyncpg.UniqueViolationError):
            await owner.execute(
                """
                INSERT INTO call_attempts (clinic_id, booking_ref, attempt, kind, revision, worker_id, lease_until)
                VALUES ($1, $2, 9, 'confirm', 1, 'B', now())
                """,
                command.clinic_id,
                command.booking_ref,
            )
