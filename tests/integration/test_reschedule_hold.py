"""Another time for a booking, as hold decides it: the new seat first, the old one kept while anybody relies on it."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.world import clinics, tomorrow
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.messages import Book, Cancel, Reschedule, TimeRange
from waiting_room.store.journal import Journal

CLAIMS = "SELECT booking_ref, revision, seat, lower(during) AS start_at FROM seat_claims ORDER BY start_at"


async def confirmed(database: Database, command: Book) -> None:
    """As confirm leaves it."""
    async with database.owner() as owner, owner.transaction():
        journal = await Journal.open(owner, [command.clinic_id])
        (booking,) = (await journal.load([(command.clinic_id, command.booking_ref)])).values()
        for event in (EventType.CALLING, EventType.CONFIRMED):
            journal.record(booking, event)
        await journal.write()


async def starts(database: Database) -> list[tuple[int, Any]]:
    """(revision, start) of every claim."""
    return [(row["revision"], row["start_at"]) for row in await rows_of(database, CLAIMS)]


async def events(database: Database) -> list[str]:
    return [row["event"] for row in await rows_of(database, "SELECT event FROM appointment_events ORDER BY seq")]


async def test_what_no_clinic_knows_of_moves_at_once(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command))
    outcome = await hold(appended(reschedule(command, "move"), first_offset=1))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["status"], row["stage"], row["revision"], row["moving_to"]) == ("pending", "held", 2, None)
    assert row["start_at"] == tomorrow(10)
    assert await starts(database) == [(2, tomorrow(10))]
    assert [each.booking_ref for each in outcome.due] == [command.booking_ref]
    (wish,) = await rows_of(database, "SELECT outcome, reason FROM reschedules")
    assert tuple(wish) == ("rescheduled", None)
    await check_counters(database)


async def test_two_wishes_in_one_batch_are_fulfilled_one_after_the_other(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    there, elsewhere = (reschedule(command, f"move {hour}", start_at=tomorrow(hour)) for hour in (10, 11))
    await hold(appended(command, there, elsewhere))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["stage"], row["revision"], row["moving_to"], row["start_at"]) == ("held", 3, None, tomorrow(11))
    assert await starts(database) == [(3, tomorrow(11))]
    wishes = await rows_of(database, "SELECT revision, outcome FROM reschedules ORDER BY revision")
    assert [tuple(wish) for wish in wishes] == [(2, "rescheduled"), (3, "rescheduled")]


async def test_it_may_move_to_where_only_it_is_in_the_way(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command, reschedule(command, "same", start_at=command.start_at)))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["status"], row["revision"]) == ("confirmed", 2)
    assert await starts(database) == [(2, tomorrow())]


async def test_a_clinic_that_has_it_is_asked_first(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command))
    await confirmed(database, command)
    outcome = await hold(appended(reschedule(command, "move"), first_offset=1))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["status"], row["clinic_state"], row["revision"], row["moving_to"]) == ("confirmed", "booked", 1, 2)
    assert row["start_at"] == tomorrow()
    assert await starts(database) == [(1, tomorrow()), (2, tomorrow(10))]
    assert len(outcome.due) == 1
    # Both seats are taken for everybody else.
    await hold(appended(book(clinic, "other"), book(clinic, "third", start_at=tomorrow(10)), first_offset=2))
    rows = await rows_of(database, "SELECT status FROM appointments ORDER BY status")
    assert [row["status"] for row in rows] == ["confirmed", "rejected", "rejected"]
    await check_counters(database)


async def test_a_request_counts_once_and_a_second_one_waits_its_turn(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command))
    await confirmed(database, command)
    move = reschedule(command, "move")
    await hold(appended(move, move, first_offset=1))
    before = await events(database)
    await hold(appended(move, first_offset=3))
    assert await events(database) == before
    await hold(appended(reschedule(command, "another", start_at=tomorrow(11)), first_offset=4))
    assert (await events(database))[-1] == "booking.reschedule_refused"
    wishes = await rows_of(database, "SELECT revision, outcome, reason FROM reschedules ORDER BY revision")
    assert [tuple(row) for row in wishes] == [(2, None, None), (3, "refused", "already_moving")]


async def test_what_cannot_be_held_is_refused_and_nothing_changes(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    mine, theirs = book(clinic, "mine"), book(clinic, "theirs", start_at=tomorrow(10))
    await hold(
        appended(
            mine,
            theirs,
            reschedule(mine, "taken"),
            reschedule(mine, "odd", start_at=tomorrow(10, 7)),
            reschedule(mine, "full", range=TimeRange(tomorrow(10), tomorrow(10, 30))),
            cancel(theirs),
            reschedule(theirs, "too late", start_at=tomorrow(12)),
        )
    )
    wishes = await rows_of(database, "SELECT booking_ref, reason FROM reschedules ORDER BY revision")
    assert [row["reason"] for row in wishes if row["booking_ref"] == mine.booking_ref] == [
        Reason.SLOT_TAKEN,
        Reason.OUTSIDE_HOURS,
        Reason.NO_FREE_SLOT,
    ]
    assert [row["reason"] for row in wishes if row["booking_ref"] == theirs.booking_ref] == [Reason.NOT_ACTIVE]
    assert await starts(database) == [(1, tomorrow())]
    await check_counters(database)


async def test_whose_wish_it_was_is_told_when_it_is_refused(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    of_clinic = reschedule(command, "clinic", start_at=tomorrow(10, 7), app_id=None, by=By.CLINIC)
    of_patient = reschedule(command, "patient", start_at=tomorrow(10, 7))
    await hold(appended(command, of_clinic, of_patient))
    refused = "FROM appointment_events WHERE event = 'booking.reschedule_refused' ORDER BY seq"
    told = await rows_of(database, f"SELECT record ->> 'by' AS whose {refused}")
    kept = await rows_of(database, 'SELECT "by" AS whose FROM reschedules ORDER BY revision')
    assert [row["whose"] for row in told] == [row["whose"] for row in kept] == ["clinic", "patient"]


async def test_whom_hold_gives_the_next_slot_their_clinic_is_asked_for_at_once(database: Database, hold: Hold) -> None:
    """It had said no to the one before, and was to be asked again should hold not be heard of."""
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key", range=TimeRange(tomorrow(9), tomorrow(12)))
    await hold(appended(command))
    async with database.owner() as owner:
        await owner.execute("UPDATE appointments SET next_attempt_at = now() + interval '30 s'")
    gone = reschedule(command, "gone", range=TimeRange(tomorrow(9, 1), tomorrow(12)), app_id=None, by=By.SERVICE)
    outcome = await hold(appended(gone, first_offset=1))
    (row,) = await rows_of(database, "SELECT start_at, next_attempt_at FROM appointments")
    assert tuple(row) == (tomorrow(9, 30), None)
    assert [each.booking_ref for each in outcome.due] == [command.booking_ref]


async def test_a_strangers_wish_and_one_for_no_booking_change_nothing(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command))
    before = await events(database)
    unknown = book(clinic, "never sent")
    await hold(appended(reschedule(command, "x", app_id="another"), reschedule(unknown, "y"), first_offset=1))
    assert await events(database) == before
    assert not await rows_of(database, "SELECT * FROM reschedules")


async def test_a_cancel_gives_up_both_seats_as_far_as_the_clinic_lets_go(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command))
    await confirmed(database, command)
    await hold(appended(reschedule(command, "move"), cancel(command), first_offset=1))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["status"], row["clinic_state"], row["moving_to"]) == ("cancelled", "withdrawing", None)
    assert await starts(database) == [(1, tomorrow())], "its clinic never heard of the other"
    (wish,) = await rows_of(database, "SELECT outcome FROM reschedules")
    assert wish["outcome"] == "dropped"


COURSES = st.lists(
    st.tuples(st.sampled_from(["book", "move", "cancel", "confirm"]), st.integers(0, 4), st.integers(0, 5)),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=COURSES, split=st.integers(1, 5))
async def test_in_any_course_each_booking_has_its_seats_and_no_other(
    course: list[tuple[str, int, int]], split: int, database: Database, hold: Hold
) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    async with database.owner() as owner:
        await owner.execute("TRUNCATE seat_claims, reschedules, booking_refs, appointments, consumed_offsets CASCADE")
        await owner.execute("TRUNCATE patient_claims")
        await owner.execute("DELETE FROM clinic_counters")
        await owner.execute("ALTER TABLE appointment_events DISABLE TRIGGER USER")
        await owner.execute("TRUNCATE appointment_events")
        await owner.execute("DELETE FROM relay_cursors; DELETE FROM providers; DELETE FROM clinics")
    await seeded(database, [clinic])
    hold.rules.clear()
    commands: list[Book | Cancel | Reschedule] = []
    for number, (what, who, hour) in enumerate(course):
        of = book(clinic, f"key {who}", start_at=tomorrow(9 + hour))
        if what == "book":
            commands.append(of)
        elif what == "move":
            commands.append(reschedule(of, f"move {number}", start_at=tomorrow(9 + hour)))
        elif what == "cancel":
            commands.append(cancel(of))
        if commands and (what == "confirm" or len(commands) == split):
            await hold(appended(*commands))
            commands = []
        if what == "confirm":
            waiting = "status = 'pending' AND clinic_state = 'none' AND booking_ref = $$" + of.booking_ref + "$$"
            if await rows_of(database, "SELECT FROM appointments WHERE " + waiting):
                await confirmed(database, of)
    if commands:
        await hold(appended(*commands))
    wanted = await rows_of(
        database,
        """
        SELECT booking_ref, revision FROM appointments
        WHERE status IN ('pending', 'confirmed') OR clinic_state <> 'none'
        UNION ALL SELECT booking_ref, moving_to FROM appointments WHERE moving_to IS NOT NULL ORDER BY 1, 2
        """,
    )
    there = await rows_of(database, "SELECT booking_ref, revision FROM seat_claims ORDER BY 1, 2")
    assert [tuple(row) for row in there] == [tuple(row) for row in wanted]
    open_wishes = await rows_of(database, "SELECT booking_ref, revision FROM reschedules WHERE ended_at IS NULL")
    moving = await rows_of(database, "SELECT booking_ref, moving_to FROM appointments WHERE moving_to IS NOT NULL")
    assert {tuple(row) for row in open_wishes} == {tuple(row) for row in moving}
    await check_counters(database)
