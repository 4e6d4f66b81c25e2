"""A simulated clinic's appointment book and meters."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.clinics.behaviour import ClinicBehaviour
from loadtest.clinics.books import BookingRequest, Books, Event, Patient, SupersededError
from loadtest.clinics.clinic import Clinic, Reply
from loadtest.clinics.course import Course, Fate
from loadtest.clinics.journal import Journal, forget

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
REF = "000A-7K2M-Q8ZT-3WNC-H5VD"
OK = Course(Fate.OK, 1.0)


def request(ref: str = REF, revision: int = 1) -> BookingRequest:
    return BookingRequest(ref, revision, "p1", 0, "flu", AT, AT + timedelta(minutes=15), Patient("x"))


def clinic(behaviour: ClinicBehaviour | None = None) -> Clinic:
    return Clinic("000A", behaviour or ClinicBehaviour(), seed=1, remember=forget)


def book(at: Clinic, revision: int = 1, course: Course = OK) -> Reply:
    return at.book(request(revision=revision), course, AT)


def test_a_repeated_key_is_answered_again_and_books_nothing() -> None:
    here = clinic()
    first, second = book(here), book(here, course=Course(Fate.REFUSED, 1.0))
    assert (first.status, second.status) == (201, 200)
    assert first.record is second.record
    assert first.record is not None
    assert first.record.times_accepted == 1
    assert here.stats(0).repeats == 1


def test_without_idempotency_a_repeat_is_a_duplicate_that_an_audit_finds() -> None:
    here = clinic(ClinicBehaviour(idempotency=False))
    first = book(here).record
    assert first is not None
    first_id = first.clinic_booking_id
    second = book(here)
    assert second.status == 201
    assert second.record is not None
    assert second.record.clinic_booking_id != first_id
    assert [(r.times_accepted, r.effective_bookings) for r in here.books.records()] == [(2, 2)]


def test_a_newer_revision_replaces_and_a_straggler_does_not_undo_it() -> None:
    here = clinic()
    assert [book(here, revision).status for revision in (1, 3)] == [201, 201]
    assert book(here, 2) == Reply(409, reason="superseded")
    assert [(r.revision, r.effective_bookings) for r in here.books.records()] == [(1, 0), (3, 1)]
    assert here.stats(0).superseded == 1
    assert book(here, 1).status == 200, "a key seen before is answered even after the move"


def test_refused_bookings_leave_no_trace() -> None:
    here = clinic(ClinicBehaviour(refuse_reason="closed"))
    assert book(here, course=Course(Fate.REFUSED, 1.0)) == Reply(409, reason="closed")
    assert here.look_up(REF).status == 404


def test_withdrawing_is_idempotent_and_spares_newer_revisions() -> None:
    here = clinic()
    assert here.withdraw(REF, 1, AT).status == 404
    book(here, 2)
    assert here.withdraw(REF, 1, AT) == Reply(409, reason="superseded")
    assert [here.withdraw(REF, 2, AT).status for _ in range(2)] == [204, 204]
    shown = here.look_up(REF)
    assert shown.status == 200
    assert shown.record is not None
    assert shown.record.withdrawn_at == AT
    assert shown.record.effective_bookings == 0


def test_a_booking_that_lands_after_its_withdrawal_stands_and_shows() -> None:
    here = clinic()
    here.withdraw(REF, 1, AT)
    book(here)
    assert [r.effective_bookings for r in here.books.records()] == [1]


def test_what_cannot_be_remembered_does_not_happen() -> None:
    def full(event: Event) -> None:
        raise OSError("disk full")

    books = Books("000A", full)
    with pytest.raises(OSError, match="disk full"):
        books.book(request(), AT)
    assert list(books.records()) == []


refs = st.sampled_from(["000A-1", "000A-2", "000A-3"])
steps = st.lists(st.tuples(st.sampled_from(["book", "withdraw"]), refs, st.integers(1, 4)), max_size=40)


@given(steps=steps)
def test_the_events_alone_rebuild_the_books(steps: list[tuple[str, str, int]]) -> None:
    events: list[Event] = []
    lived = Books("000A", events.append)
    for verb, ref, revision in steps:
        try:
            if verb == "book":
                lived.book(request(ref, revision), AT)
            else:
                lived.withdraw(ref, revision, AT)
        except SupersededError:
            pass
    reread = Books("000A", forget)
    for event in events:
        reread.apply(msgspec.json.decode(msgspec.json.encode(event), type=Event))
    assert list(reread.records()) == list(lived.records())
    assert len(reread) == len(lived)
    effective = [r.booking_ref for r in lived.records() if r.effective_bookings]
    assert len(effective) == len(set(effective)), "one revision of a ref is effective at most"


def test_a_journal_survives_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    journal = Journal(path)
    books = Books("000A", journal.remember)
    books.book(request(), AT)
    books.withdraw(REF, 1, AT)
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])

    journal = Journal(path)
    reread = Books("000A", journal.remember)
    for event in journal.events():
        reread.apply(event)
    assert list(reread.records()) == list(books.records())
    reread.book(request("000A-2"), AT)
    journal.close()
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes().count(b"\n") == 3
    with_next = Journal(path)
    assert len(list(with_next.events())) == 3
    with_next.close()


def test_the_busy_integral_counts_calls_up_to_capacity() -> None:
    here = clinic(ClinicBehaviour(capacity=2, overload="slow"))
    first, second, third = here.arrive(10.0), here.arrive(12.0), here.arrive(13.0)
    here.leave(first, 15.0)
    here.leave(second, 16.0)
    here.leave(third, 18.0)
    stats = here.stats(20.0)
    # in flight: 1 over 10-12, 2 over 12-13, 3 over 13-15, 2 over 15-16, 1 over 16-18
    assert stats.open_seconds == 2 * 1 + 1 * 2 + 2 * 3 + 1 * 2 + 2 * 1
    assert stats.busy_seconds == 2 * 1 + 1 * 2 + 2 * 2 + 1 * 2 + 2 * 1
    assert (stats.calls, stats.in_flight, stats.max_in_flight) == (3, 0, 3)


def test_calls_turned_away_are_counted_but_never_in_flight() -> None:
    here = clinic(ClinicBehaviour(capacity=1))
    fates = [here.arrive(1.0).fate for _ in range(3)]
    stats = here.stats(2.0)
    assert fates == [Fate.OK, Fate.OVERLOADED, Fate.OVERLOADED]
    assert (stats.calls, stats.in_flight, stats.fates["overloaded"]) == (3, 1, 2)
    assert stats.busy_seconds == 1.0


def test_a_raised_capacity_counts_from_then_on() -> None:
    here = clinic(ClinicBehaviour(capacity=1, overload="slow"))
    for _ in range(2):
        here.arrive(0.0)
    here.change(here.behaviour.patched({"capacity": 2}), now=10.0)
    assert here.stats(20.0).busy_seconds == 10 * 1 + 10 * 2
