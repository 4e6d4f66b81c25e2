"""What confirm says of its calls: metrics, one log line an outcome, and the clinics' pulses."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import structlog

from waiting_room.domain.clinic_call import CallKind
from waiting_room.domain.eligibility import Finding
from waiting_room.messages import ClinicPulse
from waiting_room.store.calls import Claim, Lines, Recorded
from waiting_room.store.journal import Booking
from waiting_room.store.verifications import Verified
from waiting_room.telemetry import decided, metrics, tracing
from workers.confirm.call import Answered
from workers.confirm.showing import Showing
from workers.pacing.adaptive import AdaptiveLimit
from workers.pacing.lanes import Lanes
from workers.pacing.limit import Limit
from workers.pacing.need import Growth, calls_needed
from workers.pacing.pace import ClinicPace, Running
from workers.pacing.view import LaneView, Why
from workers.pulse import PulseWriter

log = structlog.get_logger(__name__)
UNKNOWN_CALL_SECONDS = 2.0
"""What a call is taken to last at a clinic that has not answered one yet."""


class Report:
    """Told of every call; ``pulse`` writes what it collects."""

    def __init__(self, pulse: PulseWriter, *, calls_max: int, wait_target_seconds: float) -> None:
        self._pulse = pulse
        self._wait_target_seconds = wait_target_seconds
        metrics.CALLS_MAX.set(calls_max)
        self._lines: Lines = {}
        self._growth = Growth()
        self._paces: dict[str, ClinicPace] = {}
        self._since = time.monotonic()
        self._told: set[str] = set()
        self._showing = Showing()

    def saw_lines(self, lines: Lines) -> None:
        """(seq, line) by clinic after a transaction; transactions may be reported out of order."""
        for clinic_id, seen in lines.items():
            if seen > self._lines.get(clinic_id, (-1, 0)):
                self._lines[clinic_id] = seen

    def call_starts(self, claim: Claim) -> None:
        """The claim is ours and the call is about to be made."""
        if claim.kind is CallKind.CONFIRM and claim.attempt == 1 and claim.booking.held_at:
            waited = max((datetime.now(UTC) - claim.booking.held_at).total_seconds(), 0.0)
            metrics.CONFIRM_WAIT.observe(waited, tracing.exemplar(claim.booking.booking_ref))

    def call_ended(self, claim: Claim, answered: Answered, recorded: Recorded, slot_seconds: float | None) -> None:
        """Its outcome is stored. ``slot_seconds``: how long it took one of the clinic's slots, claim included; None if
        that could not be measured.
        """
        booking, state = recorded.booking, recorded.booking.known_state
        metrics.CLINIC_CALL.labels(claim.kind, answered.outcome).observe(answered.seconds)
        if recorded.again_seconds is not None:
            metrics.RETRIES.labels(claim.kind).inc()
        pace = self._paces.get(booking.clinic_id)
        if pace is None:
            pace = self._paces[booking.clinic_id] = ClinicPace(self._since)
        if slot_seconds is not None:
            pace.called(slot_seconds)
        if recorded.decided:
            if booking.decided_at:
                pace.decided((booking.decided_at - recorded.first_called_at).total_seconds(), time.monotonic())
            self._decided(booking)
        log.info(
            "clinic_call",
            booking_ref=booking.booking_ref,
            clinic_id=booking.clinic_id,
            kind=claim.kind,
            attempt=claim.attempt,
            outcome=answered.outcome,
            detail=answered.detail,
            seconds=round(answered.seconds, 3),
            status=state.status,
            clinic_state=state.clinic_state,
            decided=recorded.decided,
            again_seconds=None if recorded.again_seconds is None else round(recorded.again_seconds, 3),
        )

    def verified(self, finding: Finding, verified: Verified, seconds: float) -> None:
        """What was found out before the clinic is asked is stored. ``seconds``: how long finding out took."""
        booking, waits = verified.booking, verified.again_seconds is not None
        metrics.VERIFIED.labels("waits" if waits else "assumed" if finding is Finding.UNKNOWN else finding).inc()
        if verified.decided:
            self._decided(booking)
        log.info(
            "eligibility",
            booking_ref=booking.booking_ref,
            clinic_id=booking.clinic_id,
            outcome=finding,
            seconds=round(seconds, 3),
            status=booking.known_state.status,
            again_seconds=None if verified.again_seconds is None else round(verified.again_seconds, 3),
        )

    def parked(self) -> None:
        """A booking was taken out of its lane until its next attempt is due."""
        metrics.PARKED.inc()

    def expired(self, booking: Booking | None) -> None:
        """Asking for a call found this booking past its deadline, if it is one."""
        if booking is not None:
            self._decided(booking)
            log.info("hold_expired", booking_ref=booking.booking_ref, clinic_state=booking.known_state.clinic_state)

    def _decided(self, booking: Booking) -> None:
        waited = decided.observe(booking)
        if waited is not None and booking.eta_p50 is not None and booking.eta_p90 is not None:
            metrics.ETA_OUTCOMES.labels("within" if waited <= booking.eta_p90 else "later").inc()
            metrics.ETA_ERROR.observe(abs(waited - booking.eta_p50) / max(booking.eta_p50, 1.0))

    def look(
        self, lanes: Lanes, now: float, *, paused: int, settled: bool, unverifiable: bool = False
    ) -> dict[str, LaneView]:
        """Take the lanes' state into gauges and pulses; the views of all lanes. Until it is ``settled`` whose clinics
        are whose, what was needed last stands. ``unverifiable``: the eligibility system is away.
        """
        views, limits = lanes.views(now), lanes.limits()
        lines, bookings, needed = dict.fromkeys(Why, 0), dict.fromkeys(Why, 0), 0
        standing: dict[str, ClinicPulse] = {}
        said: set[str] = set()
        for clinic_id, view in views.items():
            seq, line = self._lines.get(clinic_id, (0, 0))
            pace = self._paces.get(clinic_id)
            pulse = _pulse(view, limits[clinic_id], pace, seq, line)
            self._pulse.saw_clinic(clinic_id, pulse)
            if view.ours:
                standing[clinic_id] = pulse
            if view.why is not None:
                lines[view.why] += 1
                bookings[view.why] += max(line, view.waiting)
            if pace is not None and view.breaker_open:
                pace.down(now)
            if not view.ours:
                continue  # or it would be counted twice: its new owner says what it needs
            growth = 0.0
            if settled and seq:  # what is rung for again after a rebalance is no growth
                said.add(clinic_id)
                growth = self._growth.saw(clinic_id, seq, line, now)
            needed += calls_needed(
                line=_line(view, seq, line, unverifiable),
                call_seconds=(pace.slot.mean if pace else None) or UNKNOWN_CALL_SECONDS,
                limit=view.limit,
                breaker_open=view.breaker_open,
                wait_target_seconds=self._wait_target_seconds,
                growth=growth,
            )
        self._growth.keep(said)
        self._pulse.forget_clinics(self._told - views.keys())
        self._told = set(views)
        for why in Why:
            metrics.LINES_WAITING.labels(why).set(lines[why])
            metrics.BOOKINGS_WAITING.labels(why).set(bookings[why])
        if settled:
            metrics.CALLS_NEEDED.set(needed)
        metrics.CALLS_IN_FLIGHT.set(lanes.started)
        metrics.LANE_WAITING.set(sum(view.waiting for view in views.values()))
        metrics.BREAKERS_OPEN.set(sum(view.breaker_open for view in views.values()))
        metrics.PARTITIONS_PAUSED.set(paused)
        metrics.ELIGIBILITY_AWAY.set(unverifiable)
        self._pulse.saw_eligibility(away=unverifiable)
        self._showing.look(standing, now)
        return views


def _line(view: LaneView, seq: int, line: int, unverifiable: bool) -> int:
    """How many bookings a clinic has to be called for. Once PostgreSQL has said how many, that counts: after a
    rebalance most of what is rung for is long done, and would have workers come for it that cause the next one.

    What waits for the eligibility system to come back has left its lane, and no worker can do anything for it.
    """
    here = view.waiting + view.in_flight
    if unverifiable and not here:
        return 0
    return max(line, min(here, 1)) if seq else here


def _pulse(view: LaneView, limit: Limit, pace: ClinicPace | None, seq: int, line: int) -> ClinicPulse:
    memory = limit.memory if isinstance(limit, AdaptiveLimit) else None
    slot, decision = (Running(), Running()) if pace is None else (pace.slot, pace.decision)
    return ClinicPulse(
        seq=seq,
        line=line,
        limit=view.limit,
        in_flight=view.in_flight,
        call_seconds=_rounded(slot.mean),
        call_sigma_seconds=None if slot.mean is None else round(slot.sigma, 3),
        decide_seconds=_rounded(decision.mean),
        decide_sigma_seconds=None if decision.mean is None else round(decision.sigma, 3),
        breaker_open=view.breaker_open,
        known_limit=None if memory is None else memory.limit,
        usual_seconds=None if memory is None else round(memory.seconds, 3),
        why=view.why,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
