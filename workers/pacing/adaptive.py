"""A limit that finds out how many calls a clinic takes at once: not one too few, and hardly ever one too many.

    search    from 1, double with each round of calls until something says that it is too many; then halve the gap
              between what went well and what did not, until both are neighbours
    settled   stay, and after ever more calls try one more: capacity may have grown
    anew      when calls suddenly take half as long again as such calls did, what was known is no longer true

Too many says either the clinic itself (429, 503), or its latency: see ``curve``. A round is counted in calls, not in
seconds: a clinic that takes two calls a second would never fill a window of time. New heights are climbed one call at
a time, so that a clinic that is full says so once and not to a whole round. The same goes for where it was yesterday:
after a restart, a long silence or a breakdown, calls rise to the known limit one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Final, NamedTuple

from workers.pacing.curve import Curve

CERTAIN, LIKELY, DOUBTFUL = 3.0, 2.0, 0.5
"""Log-likelihood ratios (20:1 and 7:1) that end a round, and that end an exploration early."""

FIRST_CALM, REMEMBERED_CALM, MOST_CALM = 40, 200, 2_000
"""Calls that go well before one more is tried."""

RECENT_CALLS, USUAL_CALLS, SHIFT = 16, 30, 0.4
"""So many calls in a row that took exp(SHIFT), 1.5, times as long as usual, or that part of it: another clinic."""

IDLE_SECONDS: Final = 600.0
NEW_HEIGHTS_SHARE, KNOWN_HEIGHTS_SHARE, MOST_SPACING_SECONDS = 0.05, 0.01, 0.25
"""Between two calls that climb: a share of what a call takes. A clinic that is full mostly says so at once."""

SURPRISES: Final = 2
"""Refusals of what had gone well before that are taken seriously, within RECENT_CALLS."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What one run of a worker leaves to the next: calls at once, and what one then usually took."""

    limit: int
    seconds: float


class _Known(NamedTuple):
    """Of a limit, ``at`` a moment; the names are AdaptiveLimit's own."""

    at: float
    fine: int
    too_many: int | None
    step: int | None
    calm: int


class AdaptiveLimit:
    """One clinic's. See ``Limit``; ``ceiling`` is what the clinic declared and is never exceeded."""

    def __init__(self, ceiling: int, remembered: Remembered | None = None) -> None:
        self._ceiling = max(ceiling, 1)
        self._curve = Curve()
        self._fine = 1
        """The most that is known to go well."""
        self._too_many: int | None = None
        """The least that is known not to."""
        self._limit = 1
        self._climbed = 1
        """Calls at once that have gone well since the last silence; above them one more at a time."""
        self._only_silence = False
        """Whether nothing but failures says that something is too many."""
        self._step: int | None = None
        self._round, self._done = 1, 0
        self._calm = FIRST_CALM
        self._probing = False
        self._recent: list[float] = []
        self._usual_yesterday: float | None = None
        self._since = self._anew_since = float("-inf")
        self._last_climb = self._last_start = float("-inf")
        self._surprises = self._well_since_surprise = 0
        self._before: _Known | None = None
        """What was known before refusals came that no later call has belied: perhaps they are an outage's first."""
        if remembered is not None:
            self._fine = self._limit = min(max(remembered.limit, 1), self._ceiling)
            self._too_many = self._fine + 1
            self._calm = self._round = REMEMBERED_CALM
            self._usual_yesterday = log(max(remembered.seconds, 1e-6))

    def allowed(self, now: float) -> int:
        """See Limit."""
        if self._limit <= self._climbed:
            return self._limit
        return self._climbed if now < self._next_climb else self._limit

    def wake_at(self, now: float) -> float | None:
        """See Limit."""
        return self._next_climb if self._limit > self._climbed and now < self._next_climb else None

    def declare(self, ceiling: int) -> None:
        """See Limit."""
        self._ceiling = max(ceiling, 1)
        self._fine = min(self._fine, self._ceiling)
        if self._limit > self._ceiling:
            self._go(self._ceiling, self._calm)

    @property
    def memory(self) -> Remembered | None:
        """For the next run; None before anything is known: how far a first search has got says nothing of how far it
        would have gone, and the next run would stop there.
        """
        if self._too_many is None and self._step is None and self._fine < self._ceiling:
            return None
        usual = self._curve.usual(self._fine, least_calls=1.0)
        if usual is None:
            usual = self._usual_yesterday
        return None if usual is None else Remembered(self._fine, exp(usual))

    def on_start(self, now: float, in_flight: int) -> None:
        """See Limit."""
        if now - self._last_start > IDLE_SECONDS:
            self._climbed = 1
        self._last_start = now
        if in_flight > self._climbed:
            self._last_climb = now

    def on_success(self, now: float, in_flight: int, seconds: float | None) -> None:
        """See Limit."""
        self._well_since_surprise += 1
        began = now - (seconds or 0.0)
        if self._before is not None and began > self._before.at:
            self._before = None  # the clinic takes calls, only not so many
        if seconds is None or began < self._anew_since:
            return
        log_seconds = log(max(seconds, 1e-6))
        if self._has_shifted(in_flight, log_seconds):
            self._start_anew(now)
            return
        self._curve.add(in_flight, log_seconds)
        self._climbed = max(self._climbed, min(in_flight, self._limit))
        if in_flight >= self._limit and began >= self._since:
            self._done += 1
        if self._limit > self._fine and self._done >= 2 and self._gone_too_far(LIKELY, now):
            return
        if self._done >= self._round:
            self._end_round(now)

    def on_overload(self, now: float, in_flight: int, retry_after_seconds: float | None) -> None:
        """See Limit. A clinic that turns away a call beside which it has no other is not crowded by us."""
        if self._before is None:
            self._before = _Known(now, self._fine, self._too_many, self._step, self._calm)
        if in_flight <= 1:
            return
        if in_flight <= self._fine and not self._is_serious():
            return
        known = self._fine
        self._only_silence = False
        self._too_many = min(in_flight, self._too_many or in_flight)
        self._fine = min(self._fine, self._too_many - 1)
        self._climbed = min(self._climbed, self._too_many - 1)
        self._settle_calm(known)
        self._step = None
        if self._limit >= self._too_many:
            self._halve_the_gap()

    def on_failure(self, now: float, in_flight: int) -> None:
        """See Limit. Above what is known to go well, silence counts as too many; elsewhere the breaker sees to it."""
        if in_flight > self._fine:
            self.on_overload(now, in_flight, None)
            self._only_silence = True

    def on_recovery(self, now: float) -> None:
        """See Limit. What was taken for too many calls was the outage."""
        self._climbed = 1
        if self._before is not None:
            _, self._fine, self._too_many, self._step, self._calm = self._before
            self._before, self._only_silence, self._probing = None, False, False
            self._fine = min(self._fine, self._ceiling)
            self._go(self._fine, self._fine)
        elif self._only_silence:
            self._only_silence = False
            self._too_many = None
            self._go(self._fine, self._fine)

    @property
    def _next_climb(self) -> float:
        usual = self._curve.usual(self._climbed, least_calls=1.0)
        if usual is None:
            usual = self._usual_yesterday
        share = NEW_HEIGHTS_SHARE if self._limit > self._fine else KNOWN_HEIGHTS_SHARE
        seconds = MOST_SPACING_SECONDS if usual is None else min(share * exp(usual), MOST_SPACING_SECONDS)
        return self._last_climb + seconds

    def _go(self, limit: int, calls: int) -> None:
        """To this limit, for a round of so many calls that go well."""
        self._limit = min(max(limit, 1), self._ceiling)
        self._round, self._done = max(calls, 1), 0
        self._climbed = min(self._climbed, self._limit)

    def _end_round(self, now: float) -> None:
        """So many calls went well at this limit: on from here."""
        if self._gone_too_far(DOUBTFUL if self._probing or self._step else CERTAIN, now):
            return
        self._fine = max(self._fine, self._limit)
        if self._too_many is not None and self._fine >= self._too_many:  # one more was tried, and went well
            self._too_many = None
            self._step = 1 if self._step is None else 2 * self._step
            self._calm = FIRST_CALM
        if self._limit >= self._ceiling:
            self._probing = False
            self._go(self._limit, self._calm)
        elif self._too_many is None:
            self._probing = False
            self._go(2 * self._limit if self._step is None else self._limit + self._step, self._limit)
        elif self._too_many - self._fine > 1:
            self._go((self._fine + self._too_many) // 2, self._limit)
        elif not self._probing and self._round >= self._calm:
            self._probing = True
            self._go(self._too_many, 2 * self._too_many)
        else:
            self._probing = False
            self._go(self._fine, self._calm)

    def _gone_too_far(self, evidence: float, now: float) -> bool:
        """Whether latency says so; then it is back to where it did not."""
        knee = self._curve.knee_below(self._limit)
        if knee is None or knee.evidence <= evidence:
            return False
        known = self._fine
        self._too_many = min(knee.calls + 1, self._limit)
        self._fine = max(min(knee.calls, self._limit - 1), 1)
        self._settle_calm(known)
        self._step = None
        self._since = now  # calls still under way began among too many
        self._go(self._fine, self._calm)
        return True

    def _halve_the_gap(self) -> None:
        assert self._too_many is not None
        limit = (self._fine + self._too_many) // 2
        self._go(limit, limit if self._too_many - self._fine > 1 else self._calm)

    def _settle_calm(self, known: int) -> None:
        """What was known and proved true once more is asked more rarely; something new soon again."""
        confirmed = self._probing and self._fine == known
        self._calm = min(2 * self._calm, MOST_CALM) if confirmed else FIRST_CALM
        self._probing = False

    def _has_shifted(self, in_flight: int, log_seconds: float) -> bool:
        """Of what begins together the quick ends first: only whole rounds are compared with whole rounds."""
        usual = self._curve.usual(in_flight, least_calls=max(USUAL_CALLS, 3 * in_flight))
        if usual is None:
            usual = self._usual_yesterday
        if usual is None:
            return False
        self._recent.append(log_seconds - usual)
        calls = max(RECENT_CALLS, in_flight)
        if len(self._recent) < calls:
            return False
        recent = self._recent[-calls:]
        self._usual_yesterday = None  # proved, or replaced by what was seen today
        self._recent = recent[1:]
        return abs(sum(recent) / calls) > SHIFT

    def _start_anew(self, now: float) -> None:
        self._curve = Curve()
        self._recent.clear()
        self._fine, self._too_many, self._step = 1, None, None
        self._calm, self._probing = FIRST_CALM, False
        self._since = self._anew_since = now
        self._go(1, 1)

    def _is_serious(self) -> bool:
        """Whether refusals of what had gone well come close to each other."""
        if self._well_since_surprise > RECENT_CALLS:
            self._surprises = 0
        self._surprises += 1
        self._well_since_surprise = 0
        return self._surprises >= SURPRISES
