"""Which starts hold marks as taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from waiting_room.domain.appointment import Reason
from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.seats import Candidate, Taken, allot
from workers.hold.full import full_starts
from workers.hold.wishes import Bookable

START = datetime(2026, 11, 30, 9, tzinfo=UTC)
END = START + timedelta(minutes=30)


def plan(*provider_ids: str) -> Bookable:
    providers = tuple(
        Provider(provider_id=each, name=each, capacity=2, service_types=("flu",), hours=()) for each in provider_ids
    )
    service = ServiceType(service_type="flu", duration_minutes=30)
    until = START + timedelta(microseconds=1)
    return Bookable(providers, service, "UTC", START, until, Reason.SLOT_TAKEN, {})


def test_the_last_seat_makes_a_start_full_and_not_the_one_before() -> None:
    taken, candidate = Taken(), Candidate("p", 2, START, END, END)
    first = allot([candidate], taken)
    assert first is not None
    assert full_starts(plan("p"), first, taken) == []
    last = allot([candidate], taken)
    assert last is not None
    assert full_starts(plan("p"), last, taken) == [("p", START)]


def test_whoever_comes_too_late_shows_it_of_all_who_were_asked() -> None:
    assert full_starts(plan("p", "q"), Reason.SLOT_TAKEN, Taken()) == [("p", START), ("q", START)]


def test_other_reasons_show_nothing() -> None:
    assert full_starts(plan("p"), Reason.OUT_OF_STOCK, Taken()) == []
    assert full_starts(Reason.SLOT_TAKEN, Reason.SLOT_TAKEN, Taken()) == []
