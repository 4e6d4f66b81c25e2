"""Whom nobody can be asked about: a booking without its patient is given up, one whose key we lack waits for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tests.support.patients import VAULT
from tests.unit.test_confirm_standstill import Clock
from waiting_room.commands import Patient
from waiting_room.domain.appointment import EventType, Reason, Status, apply
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.directory import AdapterKind, Eligibility
from waiting_room.domain.eligibility import resolve
from waiting_room.envelope import Envelope, master_key
from waiting_room.patient_keys import Vault
from waiting_room.store.calls import ToVerify
from waiting_room.store.journal import Booking
from waiting_room.store.verifications import Found, Verified
from waiting_room.telemetry.logs import Repeated
from workers.confirm.course import Course
from workers.confirm.report import Report
from workers.confirm.standstill import Standstill
from workers.pacing.disposition import Budget
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.offsets import Partition
from workers.pacing.work import Rank, Ring
from workers.pulse import PulseWriter

HERE: Partition = ("clinic.confirmations", 0)
AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
SYSTEM = ClinicSystem("A", AdapterKind.REST, None, 1, 1.0, honours_idempotency=True, has_lookup=True)


class Ledger:
    """Has one booking to verify, whose patient is kept so."""

    def __init__(self, patient_key: bytes | None, patient: bytes | None) -> None:
        state = None
        for event in (EventType.ACCEPTED, EventType.HELD, EventType.VERIFYING):
            state = apply(state, event)
        self.booking = Booking(
            clinic_id="A", booking_ref="A-1", app_id="app", accepted_at=AT, state=state, start_at=AT, patient=patient
        )
        self.booking.patient_key = patient_key
        self.systems = {"A": SYSTEM}

    async def claim(self, _: tuple[str, str]) -> ToVerify:
        return ToVerify(self.booking)

    async def verify(self, found: Found) -> Verified:
        came_of_it = resolve(
            self.booking.known_state, found.finding, Eligibility.FAIL_CLOSED, AdapterKind.REST, AT, found.again_seconds
        )
        for change in came_of_it.changes:
            self.booking.state = apply(self.booking.state, change.event, reason=change.reason)
        return Verified(self.booking, None, decided=True)


class Confirm:
    """What is left of a confirm worker where nobody may be asked: neither the clinic nor the eligibility system."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.put_aside = ledger, list[str]()
        self.lanes = Lanes(calls_max=9, lane_max=9, gap_max=9, make_limit=lambda _: FixedLimit(1))
        self.lanes.assigned([HERE])
        nothing: Any = None
        self._course = Course(
            self.lanes,
            cast(Any, ledger),
            cast(Any, ledger),
            Report(PulseWriter("worker", nothing), calls_max=9, wait_target_seconds=60.0),
            Standstill(10.0, Clock()),
            self._put_aside,
            lambda: None,
            nothing,
            VAULT,
            nothing,
            lease_seconds=15.0,
            call_seconds=10.0,
        )
        self._course._not_opened = Repeated(Clock())

    async def rung_for(self, *, looks: int = 1) -> None:
        """Once; then looked at as often as it comes back."""
        self.lanes.offer(Ring("A", "A-1", Rank.NORMAL, HERE, 0), 0.0)
        for _ in range(looks):
            [work] = self.lanes.next(time.monotonic() + 1_000.0)
            await self._course.run(work)

    async def _put_aside(self, work: object, reason: str) -> None:
        self.put_aside.append(reason)


KEY, WRAPPED = VAULT.new_key()


@pytest.mark.parametrize("patient", [None, KEY.seal(Patient(id="p-1"))[:-1]], ids=["none", "cut"])
async def test_a_booking_whose_patient_nobody_can_read_is_rejected_and_put_aside_once(patient: bytes | None) -> None:
    confirm = Confirm(Ledger(WRAPPED, patient))
    await confirm.rung_for()
    state = confirm.ledger.booking.known_state
    assert (state.status, state.reason) == (Status.REJECTED, Reason.UNPROCESSABLE)
    assert len(confirm.put_aside) == 1
    assert confirm.lanes.offsets.committable() == {HERE: 1}


async def test_a_booking_whose_patients_key_was_forgotten_is_rejected() -> None:
    confirm = Confirm(Ledger(None, KEY.seal(Patient(id="p-1"))))
    await confirm.rung_for()
    assert confirm.ledger.booking.known_state.status is Status.REJECTED


async def test_a_booking_waits_for_a_master_key_that_only_this_process_lacks() -> None:
    """While master keys are changed others may have the new one already, and nothing may be decided without it."""
    key, wrapped = Vault(Envelope(master_key("another" * 8))).new_key()
    confirm = Confirm(Ledger(wrapped, key.seal(Patient(id="p-1"))))
    with capture_logs() as said:
        await confirm.rung_for(looks=Budget().faults + 1)
    assert [line["event"] for line in said] == ["patient_not_opened"], "once, for all bookings that it keeps waiting"
    assert confirm.ledger.booking.known_state.status is Status.PENDING
    assert confirm.put_aside == []
    assert confirm.lanes.offsets.committable() == {}
    assert confirm.lanes.wake_at() is not None
