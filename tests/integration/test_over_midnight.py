"""Appointments that go on over midnight in UTC, as a whole evening of those in California do: claimed in two pieces,
and one claim to everybody who asks.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import NamedTuple

import asyncpg
import pytest

from tests.support.commands import APP, appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.waiting import Answers, open_offers, stands, wait
from tests.support.world import ClinicSpec, clinics, tomorrow
from waiting_room.audit import seats
from waiting_room.audit.facts import ClinicFacts
from waiting_room.domain.directory import AdapterKind
from waiting_room.domain.waitlist import Ended
from waiting_room.messages import TimeRange
from waiting_room.store import audit, holds, slots
from waiting_room.store.holds import Claim, Window
from waiting_room.store.slots import WantedTime

AN_HOUR = timedelta(hours=1)
LATE = tomorrow(23, 30)
MIDNIGHT = LATE + AN_HOUR / 2


class Piece(NamedTuple):
    booking_ref: str
    revision: int
    day: date
    start_at: datetime
    until: datetime
    whole: bool


async def pieces(database: Database) -> list[Piece]:
    """Of every claim, by start."""
    rows = await rows_of(
        database,
        "SELECT booking_ref, revision, day, lower(during), upper(during), claimed IS NULL AS whole "
        "FROM seat_claims ORDER BY 4",
    )
    return [Piece(*row) for row in rows]


async def in_california(database: Database, endpoint: str | None = None) -> ClinicSpec:
    """A clinic of appointments an hour long, one starting every half hour."""
    (clinic,) = clinics(1, endpoint=endpoint)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await owner.execute("UPDATE clinics SET timezone = 'America/Los_Angeles'")
        await owner.execute("UPDATE service_types SET duration_minutes = 60")
    return clinic


async def offences(database: Database, clinic: ClinicSpec) -> list[str]:
    """What the audit finds wrong with the clinic's seats."""
    async with database.owner() as owner, owner.transaction(isolation="repeatable_read", readonly=True):
        snapshot = await audit.take_snapshot(owner)
        facts = ClinicFacts(
            clinic_id=clinic.clinic_id,
            adapter=AdapterKind.BUILTIN,
            now=snapshot.now,
            settled=False,
            capacity=snapshot.capacities[clinic.clinic_id],
            claims_since=snapshot.claims_since,
        )
        await audit.load(owner, {clinic.clinic_id: facts})
    return [each.kind.value for each in seats.check(facts)]


async def test_both_its_days_are_taken_and_nothing_beyond(database: Database, hold: Hold) -> None:
    clinic = await in_california(database)
    late = book(clinic, "late", start_at=LATE)
    others = {
        "before": LATE - AN_HOUR,
        "into it": LATE - AN_HOUR / 2,
        "at midnight": MIDNIGHT,
        "after": LATE + AN_HOUR,
    }
    await hold(appended(late))
    await hold(appended(*(book(clinic, key, start_at=at) for key, at in others.items()), first_offset=1))
    stand = await stands(database)
    assert [status for status, _ in stand.values()] == ["confirmed", "confirmed", "confirmed", "rejected", "rejected"]
    found = [each for each in await pieces(database) if each.booking_ref == late.booking_ref]
    assert found == [
        Piece(late.booking_ref, 1, LATE.date(), LATE, MIDNIGHT, False),
        Piece(late.booking_ref, 1, MIDNIGHT.date(), MIDNIGHT, LATE + AN_HOUR, False),
    ]
    assert await offences(database, clinic) == []
    await check_counters(database)
    async with database.owner() as owner:
        await owner.execute("DELETE FROM seat_claims WHERE booking_ref = $1 AND day = $2", *found[1][0:3:2])
    assert await offences(database, clinic) == ["seat_missing"], "half a claim is none"


async def test_a_cancel_frees_all_of_it(database: Database, hold: Hold) -> None:
    clinic = await in_california(database)
    late = book(clinic, "late", start_at=LATE)
    await hold(appended(late))
    await hold(appended(cancel(late), first_offset=1))
    assert await pieces(database) == []
    await hold(appended(book(clinic, "next", start_at=MIDNIGHT), first_offset=2))
    assert [(each.start_at, each.whole) for each in await pieces(database)] == [(MIDNIGHT, True)]
    assert await offences(database, clinic) == []


@pytest.mark.parametrize("by", [-AN_HOUR / 2, AN_HOUR / 2, AN_HOUR * 2])
async def test_it_moves_into_its_own_time(database: Database, hold: Hold, by: timedelta) -> None:
    clinic = await in_california(database)
    late = book(clinic, "late", start_at=LATE)
    await hold(appended(late))
    await hold(appended(reschedule(late, "move", start_at=LATE + by), first_offset=1))
    found = await pieces(database)
    assert (found[0].start_at, found[-1].until) == (LATE + by, LATE + by + AN_HOUR)
    assert {each.revision for each in found} == {2}
    assert await offences(database, clinic) == []


async def test_who_waits_for_what_lies_behind_midnight_is_given_it(
    database: Database, hold: Hold, answers: Answers
) -> None:
    clinic = await in_california(database)
    late, waiter = book(clinic, "late", start_at=LATE), wait(clinic, "waiter", start_at=MIDNIGHT)
    await hold(appended(late, waiter))
    await hold(appended(cancel(late), first_offset=2))
    (offer,) = await open_offers(database)
    assert (offer.booking_ref, offer.start_at) == (waiter.booking_ref, MIDNIGHT)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    assert [each.booking_ref for each in await pieces(database)] == [waiter.booking_ref]
    assert await offences(database, clinic) == []


async def test_who_waits_may_be_given_a_seat_in_pieces_and_gives_it_back(
    database: Database, hold: Hold, answers: Answers
) -> None:
    clinic = await in_california(database)
    booked = book(clinic, "booked", start_at=MIDNIGHT)
    first, second = (wait(clinic, key, start_at=None, range=TimeRange(LATE, MIDNIGHT)) for key in ("1", "2"))
    await hold(appended(booked, first, second))
    await hold(appended(cancel(booked), first_offset=3))
    (offer,) = await open_offers(database)
    assert len(await pieces(database)) == 2
    await answers.decline(offer.offer_id)
    (offer,) = await open_offers(database)
    assert {each.booking_ref for each in await pieces(database)} == {offer.booking_ref} == {second.booking_ref}
    assert await offences(database, clinic) == []


async def test_a_hold_that_ran_out_stands_in_nobodys_way(database: Database, hold: Hold) -> None:
    clinic = await in_california(database, endpoint=REST)
    await hold(appended(book(clinic, "dead", start_at=LATE)))
    async with database.owner() as owner:
        await owner.execute("UPDATE appointments SET hold_until = now() - interval '1 second'")
    newcomer = book(clinic, "newcomer", start_at=MIDNIGHT)
    await hold(appended(newcomer, first_offset=1))
    assert [(each.booking_ref, each.start_at) for each in await pieces(database)] == [(newcomer.booking_ref, MIDNIGHT)]


async def test_it_is_told_once_and_whole_whoever_asks_for_whatever_of_it(database: Database, hold: Hold) -> None:
    clinic = await in_california(database)
    late = book(clinic, "late", start_at=LATE)
    await hold(appended(late))
    whole = (LATE, LATE + AN_HOUR)
    before, within, after = LATE - AN_HOUR, MIDNIGHT, LATE + AN_HOUR
    spans = [(before, within), (within, after), (before, after), (within - AN_HOUR / 6, within + AN_HOUR / 6)]
    windows = [Window(clinic.clinic_id, clinic.provider_id, *span) for span in spans]
    async with hold.pool.acquire() as conn:
        told = await slots.taken(conn, windows)
        assert [[(row.start_at, row.busy_until) for row in rows] for rows in told] == [[whole]] * len(windows)
        for window in windows:
            taken = await holds.taken(conn, [window])
            assert taken.free(clinic.provider_id, 0, LATE) == whole
            assert taken.is_empty or taken.is_free(clinic.provider_id, 0, *whole)
        _, ahead = await holds.claims_ahead(conn, [clinic.clinic_id])
        assert ahead == {clinic.clinic_id: 1}
    async with database.owner() as owner:
        wanted = [WantedTime(clinic.clinic_id, clinic.provider_id, *span, APP, b"0" * 32) for span in spans]
        for contest in await slots.contested(owner, wanted):
            assert [(each.start_at, each.busy_until) for each in contest.taken] == [whole]
        (news,) = await slots.news(owner, [(clinic.clinic_id, 0)])
        assert news.touched is not None
        assert [(each.start_at, each.busy_until) for each in news.touched] == [whole]


async def test_of_many_who_claim_at_once_no_two_overlap_on_any_day(database: Database) -> None:
    """Not by hold, whom its locks would keep apart: it is the constraint that is asked."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    claims = [
        Claim(clinic.clinic_id, clinic.provider_id, 0, at, at + length, f"{clinic.clinic_id}-{number:02}", 1)
        for number, (at, length) in enumerate(
            (MIDNIGHT + timedelta(minutes=15 * quarter), timedelta(minutes=minutes))
            for quarter in range(-8, 5)
            for minutes in (45, 90, 1_500)
        )
    ]
    async with database.owner() as owner:
        await owner.executemany(
            "INSERT INTO appointments (clinic_id, booking_ref, app_id, ticket, status, stage, provider_id, start_at, "
            "accepted_at) VALUES ($1, $2, 'app', 1, 'pending', 'held', $3, $4, now())",
            [(each.clinic_id, each.booking_ref, each.provider_id, each.start_at) for each in claims],
        )
    pool = await asyncpg.create_pool(database.owner_dsn, min_size=8, max_size=8)

    async def claim(each: Claim) -> bool:
        async with pool.acquire() as conn:
            try:
                async with conn.transaction():
                    await holds.claim_seats(conn, [each])
            except (asyncpg.ExclusionViolationError, asyncpg.DeadlockDetectedError):
                return False
            return True

    won = [each for each, did in zip(claims, await asyncio.gather(*map(claim, claims)), strict=True) if did]
    await pool.close()
    assert won
    assert all(
        one.busy_until <= other.start_at or other.busy_until <= one.start_at for one, other in combinations(won, 2)
    )
    kept = {each.booking_ref for each in await pieces(database)}
    assert kept == {each.booking_ref for each in won}


async def test_nothing_is_claimed_where_there_is_no_month_for_it(database: Database, hold: Hold) -> None:
    clinic = await in_california(database)
    far = datetime(datetime.now(UTC).year + 3, 6, 1, 12, tzinfo=UTC)
    commands = [
        book(clinic, "far", start_at=far),
        book(clinic, "range", range=TimeRange(far, far + AN_HOUR)),
        book(clinic, "near", range=TimeRange(LATE, far)),
    ]
    await hold(appended(*commands))
    rows = await rows_of(database, "SELECT booking_ref, reason FROM appointments")
    reasons = {row["booking_ref"]: row["reason"] for row in rows}
    assert [reasons[each.booking_ref] for each in commands] == ["too_far_ahead", "too_far_ahead", None]
