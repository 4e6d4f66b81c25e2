"""How long the line of a clinic is and how long it may take: pulses of all workers merged. Pure; ``now`` is given.

Several workers see the same clinic, each at its own moment:

- the line is the one with the highest ``seq`` (the clinic's event number it was counted at);
- the pace (limit, seconds of a call, breaker) is the newest that some confirm worker reported;
- a partition is held up to the offset that a hold worker reported last (lower than before after a restore).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest

from waiting_room.domain.directory import AdapterKind, Clinic, Eligibility
from waiting_room.domain.eta import Eta, Pace
from waiting_room.messages import ClinicPulse, Pulse, pulse_key

FRESH_SECONDS = 10.0
"""A pulse older than this no longer says how fast a line moves: its worker may be gone."""

BUILTIN_P50_SECONDS, BUILTIN_P90_SECONDS, BUILTIN_PER_SECOND = 0.2, 1.0, 2_000.0
"""Where the platform keeps the calendar hold decides at once: DESIGN promises p99 < 1 s and 5,000 holds a second."""

SMOOTHING = 0.3
"""Of the newest pulse in the limit that an ETA reckons with: while a limit is searched it jumps, an ETA should not."""


@dataclass(frozen=True, slots=True)
class Known:
    """A clinic's pace as some confirm worker last told it."""

    at: datetime
    pace: Pace
    breaker_open: bool


@dataclass(frozen=True, slots=True)
class Held:
    """How far a partition of booking.requests is held, as its hold worker last said, and how fast it got there."""

    worker_id: str
    at: datetime
    next_offset: int
    per_second: float | None


class Lines:
    """What ``clinic.pulse`` says, merged. ``longest_seconds``: by then every booking is decided, one way or other."""

    def __init__(self, longest_seconds: float = 7_200.0) -> None:
        self._longest_seconds = longest_seconds
        self._pulses: dict[str, Pulse] = {}
        self._newest: dict[str, ClinicPulse] = {}
        self._known: dict[str, Known] = {}
        self._held: dict[int, Held] = {}
        self._bookable: dict[str, int] = {}
        self._eligibility_away_at: dict[str, datetime] = {}
        """When a worker last said so, of those that have not taken it back."""
        self._ends: dict[int, int] = {}

    def saw_appended(self, partition: int, offset: int) -> None:
        """A record was appended to booking.requests there."""
        self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)

    def apply(self, key: str, pulse: Pulse | None) -> None:
        """Take a worker's record. ``None``: the worker has left, what it said remains until others say better."""
        if pulse is None or not pulse.eligibility_away:
            self._eligibility_away_at.pop(key, None)
        if pulse is None:
            self._pulses.pop(key, None)
            return
        self._pulses[key] = pulse
        if pulse.eligibility_away:
            self._eligibility_away_at[key] = pulse.at
        for clinic_id, seen in pulse.clinics.items():
            newest = self._newest.get(clinic_id)
            if newest is None or seen.seq >= newest.seq:
                self._newest[clinic_id] = seen
            if seen.bookable is not None:
                self._bookable[clinic_id] = seen.bookable
            if seen.limit is not None and seen.call_seconds is not None:
                self._take_pace(clinic_id, pulse.at, seen, seen.limit, seen.call_seconds)
        for partition, next_offset in pulse.held_offsets.items():
            self._take_held(pulse.worker_id, pulse.at, partition, next_offset)

    def _take_pace(self, clinic_id: str, at: datetime, seen: ClinicPulse, limit: int, call_seconds: float) -> None:
        known = self._known.get(clinic_id)
        if known is not None and at < known.at:
            return
        smoothed = float(max(1, limit))
        if known is not None and not _stale(known.at, at):
            smoothed = known.pace.limit + SMOOTHING * (smoothed - known.pace.limit)
        sigma = call_seconds if seen.call_sigma_seconds is None else seen.call_sigma_seconds
        pace = Pace(smoothed, call_seconds, sigma, seen.decide_seconds, seen.decide_sigma_seconds or 0.0)
        self._known[clinic_id] = Known(at, pace, seen.breaker_open)

    def _take_held(self, worker_id: str, at: datetime, partition: int, next_offset: int) -> None:
        known = self._held.get(partition)
        if known is not None and at < known.at:
            return
        rate = None
        if known is not None and next_offset > known.next_offset and at > known.at:
            rate = (next_offset - known.next_offset) / (at - known.at).total_seconds()
        self._held[partition] = Held(worker_id, at, next_offset, rate)

    def seq(self, clinic_id: str) -> int:
        """The highest event number any worker reported; 0 if none did."""
        newest = self._newest.get(clinic_id)
        return newest.seq if newest else 0

    def line(self, clinic_id: str) -> int:
        """Undecided bookings that are held; 0 where no worker has reported the clinic."""
        newest = self._newest.get(clinic_id)
        return newest.line if newest else 0

    def bookable(self, clinic_id: str) -> int | None:
        """Starts with a free seat, at the most, as hold last counted them; None if it has not."""
        return self._bookable.get(clinic_id)

    def held(self, partition: int) -> Held | None:
        """How far this partition is held; None if no hold worker has said."""
        return self._held.get(partition)

    def unheld(self, partition: int) -> int:
        """Records appended, as far as this process saw, and not held yet; 0 if no hold worker has said."""
        held = self._held.get(partition)
        return max(0, self._ends.get(partition, 0) - held.next_offset) if held else 0

    @property
    def unheld_most(self) -> int:
        """The same in the partition that has most of them."""
        return max(map(self.unheld, self._ends), default=0)

    def place(self, clinic: Clinic, offset: int) -> int | None:
        """The place of a booking appended at ``offset``: what is not held before it, plus the line, plus one.

        None if no hold worker has reported the partition. Never less than the truth at the time of the pulses. What
        was held since the hold worker's pulse still counts as not held, so it must not count in the line as well:
        where another worker's newer line is longer than the hold worker's own, the latter is used.
        """
        held = self._held.get(clinic.partition)
        if held is None:
            return None
        line = self.line(clinic.clinic_id)
        pulse = self._pulses.get(pulse_key(held.worker_id, clinic.clinic_id))
        own = pulse.clinics.get(clinic.clinic_id) if pulse else None
        return max(0, offset - held.next_offset) + (min(line, own.line) if own else line) + 1

    def next_place(self, clinic: Clinic) -> int:
        """The place that the next booking of this clinic would get, as far as anybody can tell."""
        return self.place(clinic, self._ends.get(clinic.partition, 0)) or self.line(clinic.clinic_id) + 1

    def is_down(self, clinic: Clinic) -> bool:
        """Whether its breaker was open when confirm last spoke of it."""
        known = self._known.get(clinic.clinic_id)
        return known is not None and known.breaker_open

    def weightiest(self, count: int) -> list[tuple[str, int, ClinicPulse | None]]:
        """Up to ``count`` clinics, those that are down first, then the longest lines: id, line, and what the confirm
        worker that calls it said last, if any did.
        """
        down = {clinic_id for clinic_id, known in self._known.items() if known.breaker_open}
        waiting = (clinic_id for clinic_id, seen in self._newest.items() if seen.line > 0 or clinic_id in down)
        chosen = nlargest(count, waiting, key=lambda clinic_id: (clinic_id in down, self._newest[clinic_id].line))
        said: dict[str, tuple[datetime, ClinicPulse]] = {}
        for pulse in self._pulses.values():
            for clinic_id in pulse.clinics.keys() & set(chosen):
                seen = pulse.clinics[clinic_id]
                if seen.limit is not None and (clinic_id not in said or said[clinic_id][0] <= pulse.at):
                    said[clinic_id] = pulse.at, seen
        return [(each, self._newest[each].line, said[each][1] if each in said else None) for each in chosen]

    def pace(self, clinic_id: str) -> Pace | None:
        """The newest pace known, fresh or not."""
        known = self._known.get(clinic_id)
        return known.pace if known else None

    def eta(self, clinic: Clinic, place: int | None, now: datetime, to_verify: str | None = None) -> Eta | None:
        """When the booking at ``place`` will be decided; None while nobody can honestly say. ``to_verify``: its service
        type, if that may still have to be verified.
        """
        if place is None or self._waits_for_eligibility(clinic, to_verify, now):
            return None
        if clinic.adapter is AdapterKind.BUILTIN:
            held = self._held.get(clinic.partition)
            if held is None or _stale(held.at, now):
                return None
            queue = place / BUILTIN_PER_SECOND
            return Eta(round(BUILTIN_P50_SECONDS + queue, 1), round(BUILTIN_P90_SECONDS + queue, 1))
        known = self._known.get(clinic.clinic_id)
        if known is None or known.breaker_open or _stale(known.at, now):
            return None
        return known.pace.eta(place, self._longest_seconds)

    def _waits_for_eligibility(self, clinic: Clinic, service_type: str | None, now: datetime) -> bool:
        """Whether a booking of this service would wait for a system of which nobody knows when it is back."""
        if all(_stale(at, now) for at in self._eligibility_away_at.values()):
            return False
        asks = {each.service_type: each.eligibility for each in clinic.service_types}.get(service_type or "")
        return asks is Eligibility.FAIL_CLOSED


def _stale(at: datetime, now: datetime) -> bool:
    return (now - at).total_seconds() > FRESH_SECONDS
