"""A watched booking after each event of its clinic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ingress.book import _as_wished
from ingress.follow import after
from ingress.parts import Parts
from waiting_room.domain.appointment import By, EventType, Reason, Stage, Status
from waiting_room.messages import BookingEvent
from waiting_room.store.bookings import BookingRow

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINE, OTHER = "0001-AAAA-AAAA-AAAA-AAAA", "0001-BBBB-BBBB-BBBB-BBBB"
ROW = BookingRow(
    asked_ref=MINE,
    clinic_id="0001",
    booking_ref=MINE,
    app_id="app",
    ticket=7,
    status=Status.PENDING,
    stage=Stage.HELD,
    reason=None,
    by=None,
    row_version=2,
    provider_id="0001-1",
    service_type="shot",
    start_at=AT,
    end_at=AT,
    accepted_at=AT,
    decided_at=None,
    timezone="UTC",
    seq=20,
    line=5,
    own_seq=12,
    place=3,
)


def event(kind: EventType, ref: str = OTHER, **changes: Any) -> BookingEvent:
    values: dict[str, Any] = {
        "clinic_id": "0001",
        "seq": 21,
        "booking_ref": ref,
        "app_id": "app",
        "event": kind,
        "at": AT,
        "status": Status.PENDING,
        "stage": Stage.HELD,
        "row_version": 3,
        "revision": 1,
        "ticket": 4,
        "line": 5,
    }
    return BookingEvent(**{**values, **changes})


def test_a_decision_before_it_moves_it_up() -> None:
    row = after(ROW, event(EventType.CONFIRMED, status=Status.CONFIRMED, stage=None, line=4))
    assert row is not None
    assert (row.place, row.line, row.seq, row.own_seq) == (2, 4, 21, 12)


def test_what_happens_behind_it_or_shortens_no_line_does_not() -> None:
    for other in (
        event(EventType.CANCELLED, status=Status.CANCELLED, stage=None, ticket=9, line=4),
        event(EventType.HELD, ticket=10, line=6),
        event(EventType.CANCELLED, status=Status.CANCELLED, stage=None, ticket=4, line=5),  # it was confirmed before
        event(EventType.REJECTED, status=Status.REJECTED, stage=None, ticket=None),
    ):
        row = after(ROW, other)
        assert row is not None
        assert (row.place, row.line, row.seq) == (3, other.line, 21)


def test_its_own_events_are_taken_over() -> None:
    calling = after(ROW, event(EventType.CALLING, MINE, stage=Stage.CONFIRMING, ticket=7))
    assert calling is not None
    assert (calling.stage, calling.place, calling.row_version, calling.own_seq) == (Stage.CONFIRMING, 3, 3, 21)
    rejected = after(
        calling,
        event(
            EventType.REJECTED,
            MINE,
            seq=22,
            status=Status.REJECTED,
            stage=None,
            reason=Reason.CLINIC_REFUSED,
            by=By.CLINIC,
            line=4,
        ),
    )
    assert rejected is not None
    assert (rejected.status, rejected.reason, rejected.place, rejected.decided_at) == (
        Status.REJECTED,
        Reason.CLINIC_REFUSED,
        None,
        AT,
    )


def test_an_event_that_is_known_already_changes_nothing() -> None:
    assert after(ROW, event(EventType.CONFIRMED, seq=20, line=1)) is ROW


def test_a_gap_or_an_unknown_line_cannot_be_folded() -> None:
    assert after(ROW, event(EventType.CONFIRMED, seq=22)) is None
    assert after(ROW, event(EventType.CONFIRMED, line=None)) is None


@pytest.mark.parametrize("status", [Status.CONFIRMED, Status.ARRIVED, Status.COMPLETED, Status.NO_SHOW])
async def test_who_books_again_what_has_taken_place_is_told_that_it_was_booked(status: Status) -> None:
    row = replace(ROW, status=status, stage=None, place=None)
    assert (await _as_wished(cast(Parts, None), row)).status is status
