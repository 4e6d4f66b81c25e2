"""Allotting seats: pure, in append order, from what is taken.

A provider of capacity N has seats 0..N-1; a claim on one of them covers a half-open time range, buffer included.
The database's exclusion constraint is the last word; this module makes sure it rarely has to speak.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A time at a provider that a booking would take."""

    provider_id: str
    capacity: int
    start_at: datetime
    end_at: datetime
    busy_until: datetime
    """``end_at`` plus the service's buffer."""


class Seat(msgspec.Struct, frozen=True, gc=False):
    """What a booking got."""

    candidate: Candidate
    seat: int


@dataclass(slots=True)
class Taken:
    """Claims by (provider_id, seat), each list sorted: what was read, and what this batch has added since. Beside them
    what the clinics' own systems say is busy.

    The ranges of one seat never overlap (the database sees to it), so a look at the neighbours is enough. Who has a
    seat that their provider has no more takes one of those that are left, whichever that is.
    """

    _ranges: dict[tuple[str, int], list[tuple[datetime, datetime]]] = field(default_factory=dict)
    _busy: dict[str, list[tuple[datetime, datetime, int | None]]] = field(default_factory=dict)
    _seats: dict[str, int] = field(default_factory=dict)
    """By provider_id, one more than the highest seat that anybody has."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is taken of anybody."""
        return not self._ranges and not self._busy

    def add(self, provider_id: str, seat: int, start: datetime, until: datetime) -> None:
        insort(self._ranges.setdefault((provider_id, seat), []), (start, until))
        if seat >= self._seats.get(provider_id, 0):
            self._seats[provider_id] = seat + 1

    def block(self, provider_id: str, start: datetime, until: datetime, seats: int | None) -> None:
        """The clinic says that so many seats, or all (None), are busy; which ones it does not say."""
        self._busy.setdefault(provider_id, []).append((start, until, seats))

    def free(self, provider_id: str, seat: int, start: datetime) -> tuple[datetime, datetime] | None:
        """Take the claim that starts at ``start`` away again; what it was, if there is one."""
        ranges = self._ranges.get((provider_id, seat), [])
        at = bisect_left(ranges, (start,))
        return ranges.pop(at) if at < len(ranges) and ranges[at][0] == start else None

    def is_free(self, provider_id: str, seat: int, start: datetime, until: datetime) -> bool:
        ranges = self._ranges.get((provider_id, seat))
        if not ranges:
            return True
        at = bisect_left(ranges, (start,))
        starts_inside = at < len(ranges) and ranges[at][0] < until
        reaches_in = at > 0 and ranges[at - 1][1] > start
        return not (starts_inside or reaches_in)

    def free_seats(self, candidate: Candidate) -> Iterator[int]:
        """Seats on which the candidate could land, lowest first; any of them, if there is one."""
        spare = self._busy_seats(candidate) if self._busy else 0
        if spare is None:
            return
        spare += self._gone_seats(candidate)
        free = (
            seat
            for seat in range(candidate.capacity)
            if self.is_free(candidate.provider_id, seat, candidate.start_at, candidate.busy_until)
        )
        if not spare:
            yield from free
        else:
            yield from tuple(free)[:-spare]

    def first_free(self, candidate: Candidate) -> int | None:
        """The lowest of ``free_seats``; None if there is none. Asked several times a booking."""
        whose, start, until = candidate.provider_id, candidate.start_at, candidate.busy_until
        if self._busy or self._seats.get(whose, 0) > candidate.capacity:
            return next(self.free_seats(candidate), None)
        for seat in range(candidate.capacity):
            if self.is_free(whose, seat, start, until):
                return seat
        return None

    def _gone_seats(self, candidate: Candidate) -> int:
        """How many are taken then that the provider has no more."""
        whose, start, until = candidate.provider_id, candidate.start_at, candidate.busy_until
        gone = range(candidate.capacity, self._seats.get(whose, 0))
        return sum(not self.is_free(whose, seat, start, until) for seat in gone)

    def _busy_seats(self, candidate: Candidate) -> int | None:
        """How many seats are not to be given although nobody claims them; None for all."""
        spare = 0
        for start, until, seats in self._busy.get(candidate.provider_id, ()):
            if start < candidate.busy_until and candidate.start_at < until:
                if seats is None:
                    return None
                spare += seats
        return spare


def allot(candidates: Iterable[Candidate], taken: Taken) -> Seat | None:
    """The first free candidate (best first), on its lowest free seat; None if no candidate is free.

    ``taken`` grows by what is given.
    """
    for candidate in candidates:
        seat = taken.first_free(candidate)
        if seat is not None:
            taken.add(candidate.provider_id, seat, candidate.start_at, candidate.busy_until)
            return Seat(candidate, seat)
    return None
