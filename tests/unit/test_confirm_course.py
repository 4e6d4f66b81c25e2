"""A call's course around what happens to us: a process that stood still blames no clinic for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from clinic_adapter.errors import ClinicOutcomeUnknown
from tests.support.patients import VAULT
from tests.unit.test_confirm_standstill import Clock
from waiting_room.commands import Patient
from waiting_room.domain.appointment import EventType, apply
from waiting_room.domain.clinic_call import Booked, CallKind, Failed
from waiting_room.domain.failures import Failure
from waiting_room.envelope import Envelope, master_key
from waiting_room.patient_keys import Vault
from waiting_room.store.calls import Claim, Outcome, Recorded
from waiting_room.store.journal import Booking
from workers.confirm.call import WITHOUT_MASTER_KEY_SECONDS
from workers.confirm.course import Course
from workers.confirm.report import Report
from workers.confirm.standstill import STILL_SECONDS, Standstill
from workers.pacing.breaker import FAILURES_TO_OPEN
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.offsets import Partition
from workers.pacing.work import Rank, Ring
from workers.pulse import PulseWriter

HERE: Partition = ("clinic.confirmations", 0)
AT = datetime(2026, 11, 23, 8, tzinfo=UTC)


class Measured(FixedLimit):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(1)
        self.seconds: list[float | None] = []

    def on_success(self, now: float, in_flight: int, seconds: float | None) -> None:
        self.seconds.append(seconds)


class Clinic:
    """Gateway, ledger and clinics in one: takes ``still_seconds`` of our time and answers, or does not."""

    def __init__(self, clock: Clock, still_seconds: float, *, answers: bool) -> None:
        self._clock, self._still_seconds, self._answers = clock, still_seconds, answers
        self.outcomes: list[Outcome] = []
        self.claim_seconds = 0.0
        self.patient_key: bytes | None = None
        self.patient = b'{"id": "patient"}'

    def gateway(self, clinic_id: str) -> Any:
        return self

    async def confirm(self, call: object, check: Callable[[], None]) -> Booked:
        check()
        self._clock.now += self._still_seconds
        if not self._answers:
            raise ClinicOutcomeUnknown("timed out")
        return Booked("at the clinic")

    async def claim(self, key: tuple[str, str]) -> Claim:
        self._clock.now += self.claim_seconds
        state = None
        for event in (EventType.ACCEPTED, EventType.HELD, EventType.CALLING):
            state = apply(state, event)
        booking = Booking(
            clinic_id=key[0],
            booking_ref=key[1],
            app_id="app",
            accepted_at=AT,
            state=state,
            provider_id="provider",
            seat=0,
            service_type="consultation",
            start_at=AT,
            end_at=AT + timedelta(minutes=30),
            patient=self.patient,
        )
        booking.patient_key = self.patient_key
        self._booking = booking
        return Claim(booking, 1, CallKind.CONFIRM, 1)

    async def record(self, outcome: Outcome) -> Recorded:
        self.outcomes.append(outcome)
        return Recorded(self._booking, None, decided=False, first_called_at=AT)


class World:
    def __init__(self, still_seconds: float, *, answers: bool) -> None:
        clock, self.limit = Clock(), Measured()
        self.clinic = cast(Any, Clinic(clock, still_seconds, answers=answers))
        self.lanes = Lanes(calls_max=9, lane_max=9, gap_max=9, make_limit=lambda _: self.limit)
        self.lanes.assigned([HERE])
        no_producer: Any = None
        report = Report(PulseWriter("worker", no_producer), calls_max=9, wait_target_seconds=60.0)
        self._course = Course(
            self.lanes,
            self.clinic,
            self.clinic,
            report,
            Standstill(10.0, clock),
            self._never,
            lambda: None,
            self._never_next,
            VAULT,
            cast(Any, None),
            lease_seconds=15.0,
            call_seconds=10.0,
        )

    async def call(self, times: int) -> None:
        for offset in range(times):
            self.lanes.offer(Ring("A", f"A-{offset}", Rank.NORMAL, HERE, offset), 0.0)
            [work] = self.lanes.next(0.0)
            await self._course.run(work)

    async def _never_next(self, booking: object) -> None:
        raise AssertionError(booking)

    async def _never(self, work: object, reason: str) -> None:
        raise AssertionError(reason)


@pytest.mark.parametrize(("still_seconds", "down"), [(0.0, True), (STILL_SECONDS, False)])
async def test_a_call_that_we_did_not_listen_to_counts_against_no_clinic(still_seconds: float, down: bool) -> None:
    world = World(still_seconds, answers=False)
    await world.call(FAILURES_TO_OPEN)
    assert world.lanes.is_down("A") is down
    assert len(world.clinic.outcomes) == FAILURES_TO_OPEN, "what may have come of it is asked all the same"


async def test_what_a_clinic_took_while_we_stood_still_is_not_known() -> None:
    world = World(STILL_SECONDS, answers=True)
    await world.call(1)
    assert world.limit.seconds == [None]
    world = World(0.0, answers=True)
    await world.call(1)
    assert world.limit.seconds != [None]


async def test_a_claim_that_came_after_we_stood_still_is_not_used() -> None:
    """Its lease is alive, but its partition may be another worker's by now, who has as many calls under way as go."""
    world = World(0.0, answers=True)
    world.clinic.claim_seconds = STILL_SECONDS
    await world.call(1)
    [outcome] = world.clinic.outcomes
    assert outcome.answer == Failed(Failure.NOT_SENT)
    assert world.limit.seconds == []


async def test_without_the_master_key_no_clinic_is_asked_and_it_is_looked_again_in_a_while() -> None:
    """A clinic's next booking was claimed and let go of up to four times a second, with a line in the log each."""
    world = World(0.0, answers=True)
    key, world.clinic.patient_key = Vault(Envelope(master_key("another" * 8))).new_key()
    world.clinic.patient = key.seal(Patient(id="patient"))
    await world.call(1)
    [outcome] = world.clinic.outcomes
    assert (outcome.answer, outcome.again_seconds) == (Failed(Failure.NOT_SENT), WITHOUT_MASTER_KEY_SECONDS)
    assert not world.lanes.is_down("A")
