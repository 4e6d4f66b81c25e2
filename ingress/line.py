"""How long the line of a clinic is and how long it may take: pulses of all workers merged. Pure; ``now`` is given.

Several workers see the same clinic, each at its own moment:

- the line is the one with the highest ``seq`` (the clinic's event number it was counted at);
- the pace (limit, seconds of a call, breaker) is the newest that some confirm worker reported;
- a partition is held up to the offset that a hold worker reported last (lower than before after a restore).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import sqrt

import msgspec

from waiting_room.domain.directory import AdapterKind, Clinic
from waiting_room.messages import ClinicPulse, Pulse, pulse_key

FRESH_SECONDS = 10.0
"""A pulse older than this no longer says how fast a line moves: its worker may be gone."""

BUILTIN_P50_SECONDS, BUILTIN_P90_SECONDS, BUILTIN_PER_SECOND = 0.2, 1.0, 2_000.0
"""Where the platform keeps the calendar hold decides at once: DESIGN promises p99 < 1 s and 5,000 holds a second."""

NORMAL_P90 = 1.2816
"""The standard normal distribution's 90% quantile."""


class Eta(msgspec.Struct, frozen=True, gc=False):
    """Seconds from now until the booking is decided: in half of all cases within p50, in nine of ten within p90."""

    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a clinic's line moves: ``limit`` calls side by side, each of this many seconds."""

    at: datetime
    limit: int
    call_seconds: float
    call_sigma_seconds: float
    breaker_open: bool

    def wait(self, place: int) -> tuple[float, float]:
        """Mean and standard deviation, in seconds, until the booking at ``place`` (1: next) is decided.

        ``place - limit`` calls must end before its own begins. A pool of c servers ends k calls after k * mean / c
        on average with a variance of k * (sigma / c)**2 (renewal theory: c independent renewal processes).
        """
        before = max(0, place - self.limit)
        mean = before * self.call_seconds / self.limit + self.call_seconds
        return mean, self.call_sigma_seconds * sqrt(before / self.limit**2 + 1)


@dataclass(frozen=True, slots=True)
class Held:
    """How far a partition of booking.requests is held, as its hold worker last said, and how fast it got there."""

    worker_id: str
    at: datetime
    next_offset: int
    per_second: float | None


class Lines:
    """What ``clinic.pulse`` says, merged."""

    def __init__(self) -> None:
        self._pulses: dict[str, Pulse] = {}
        self._newest: dict[str, ClinicPulse] = {}
        self._pace: dict[str, Pace] = {}
        self._held: dict[int, Held] = {}
        self._ends: dict[int, int] = {}

    def saw_appended(self, partition: int, offset: int) -> None:
        """A record was appended to booking.requests there."""
        self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)

    def apply(self, key: str, pulse: Pulse | None) -> None:
        """Take a worker's record. ``None``: the worker has left, what it said remains until others say better."""
        if pulse is None:
            self._pulses.pop(key, None)
            return
        self._pulses[key] = pulse
        for clinic_id, seen in pulse.clinics.items():
            newest = self._newest.get(clinic_id)
            if newest is None or seen.seq >= newest.seq:
                self._newest[clinic_id] = seen
            if seen.limit is not None and seen.call_seconds is not None:
                self._take_pace(clinic_id, pulse.at, seen, seen.limit, seen.call_seconds)
        for partition, next_offset in pulse.held_offsets.items():
            self._take_held(pulse.worker_id, pulse.at, partition, next_offset)

    def _take_pace(self, clinic_id: str, at: datetime, seen: ClinicPulse, limit: int, call_seconds: float) -> None:
        known = self._pace.get(clinic_id)
        if known is None or at >= known.at:
            sigma = call_seconds if seen.call_sigma_seconds is None else seen.call_sigma_seconds
            self._pace[clinic_id] = Pace(at, max(1, limit), call_seconds, sigma, seen.breaker_open)

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

    def held(self, partition: int) -> Held | None:
        """How far this partition is held; None if no hold worker has said."""
        return self._held.get(partition)

    def unheld(self, partition: int) -> int:
        """Records appended, as far as this process saw, and not held yet; 0 if no hold worker has said."""
        held = self._held.get(partition)
        return max(0, self._ends.get(partition, 0) - held.next_offset) if held else 0

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

    def pace(self, clinic_id: str) -> Pace | None:
        """The newest pace known, fresh or not."""
        return self._pace.get(clinic_id)

    def eta(self, clinic: Clinic, place: int | None, now: datetime) -> Eta | None:
        """When the booking at ``place`` will be decided; None while nobody can honestly say."""
        if place is None:
            return None
        if clinic.adapter is AdapterKind.BUILTIN:
            held = self._held.get(clinic.partition)
            if held is None or _stale(held.at, now):
                return None
            queue = place / BUILTIN_PER_SECOND
            return _eta(BUILTIN_P50_SECONDS + queue, BUILTIN_P90_SECONDS + queue)
        pace = self._pace.get(clinic.clinic_id)
        if pace is None or pace.breaker_open or _stale(pace.at, now):
            return None
        mean, sigma = pace.wait(place)
        return _eta(mean, mean + NORMAL_P90 * sigma)


def _stale(at: datetime, now: datetime) -> bool:
    return (now - at).total_seconds() > FRESH_SECONDS


def _eta(p50: float, p90: float) -> Eta:
    return Eta(round(p50, 1), round(p90, 1))
