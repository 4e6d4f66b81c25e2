"""What it costs to expand rules into slots, for 1, 10 and 100 times as much of each thing they are made of.

Pure computing, one process, nothing else runs. Linear is a cost for each day, window, break and override that does
not grow with their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from loadtest.bench.report import Result
from waiting_room.domain.availability import expand
from waiting_room.domain.availability.expand import Calendar
from waiting_room.domain.availability.rules import Availability, Break, Holidays, Override, OverrideKind, Weekly
from waiting_room.domain.seats import Candidate
from waiting_room.domain.slots import DayTaken

TIMES = (1, 10, 100)
LINEAR = 1.5
"""The cost of one, at a hundred times as many, over its cost at one; 1 is exactly linear."""

FIRST = date(2027, 3, 1)
ZONE = "Europe/Berlin"


async def measure(seed: int) -> Result:
    """Expand without the caches that production has."""
    began = time.monotonic()
    rows: dict[str, Any] = {}
    worst = 0.0
    for name, work in _WORK.items():
        work(1)  # imports, zones, holidays
        costs = [_microseconds(work, times) / times for times in TIMES]
        rows[f"{name}: µs each, at {' / '.join(map(str, TIMES))} times"] = " / ".join(f"{cost:.1f}" for cost in costs)
        worst = max(worst, costs[-1] / costs[0])
    return Result(
        name="scale",
        promise="rule expansion costs as much for each of a hundred as for one",
        target=f"<= {LINEAR} times",
        value=worst,
        unit="times",
        passed=worst <= LINEAR,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows=rows,
        notes=["a day: 08:00 to 17:00 in slots of 15 minutes, an hour's lunch, Berlin's holidays; nothing cached"],
    )


def _microseconds(work: Callable[[int], None], times: int) -> float:
    """The best of several runs of about 50 ms each."""
    best, until = float("inf"), time.perf_counter() + 0.4
    while time.perf_counter() < until:
        begin = time.perf_counter()
        work(times)
        best = min(best, time.perf_counter() - begin)
    return best * 1e6


def _office(**more: Any) -> Availability:
    return Availability(
        weekly=tuple(Weekly(weekday=day, from_="08:00", to="17:00", slot_minutes=15) for day in range(1, 8)),
        breaks=(Break(from_="12:00", to="13:00"),),
        holidays=Holidays(country="DE", region="BE"),
        **more,
    )


def _expand(calendar: Calendar, day: date, minutes: int = 15) -> tuple[datetime, ...]:
    return expand.expanded(calendar, minutes, ZONE, day)


def _days(times: int) -> None:
    calendar = Calendar(_office())
    for number in range(times):
        _expand(calendar, FIRST + timedelta(days=number))


def _providers(times: int) -> None:
    for number in range(times):
        _expand(Calendar(_office(notice_minutes=number)), FIRST)


def _slots(times: int) -> None:
    """One window with eight slots, of a minute each, for each."""
    end = 8 * 60 + times * 8
    to = f"{end // 60:02}:{end % 60:02}"
    rule = Weekly(weekday=FIRST.isoweekday(), from_="08:00", to=to, slot_minutes=1)
    _expand(Calendar(Availability(weekly=(rule,))), FIRST, 1)


def _overrides(times: int) -> None:
    """So many extensions of a day, an hour each."""
    begin = datetime(2027, 3, 1, tzinfo=UTC)
    overrides = tuple(
        Override(
            override_id=str(number),
            kind=OverrideKind.EXTEND,
            from_at=begin + timedelta(minutes=7 * number),
            to_at=begin + timedelta(minutes=7 * number + 60),
            slot_minutes=15,
        )
        for number in range(times)
    )
    _expand(Calendar(Availability(weekly=()), overrides), FIRST)


def _claims(times: int) -> None:
    """A day's slots, against so many claims on seats side by side."""
    taken = DayTaken("dr")
    begin = datetime(2027, 3, 1, 8, tzinfo=UTC)
    for number in range(times):
        taken.claim(number, begin, begin + timedelta(minutes=15), tentative=False)
    taken.slots([Candidate("dr", times, begin, begin + timedelta(minutes=15), begin + timedelta(minutes=15))])


_WORK = {
    "days of a provider": _days,
    "providers": _providers,
    "slots of a window, by eight": _slots,
    "extensions of a day": _overrides,
    "claims side by side": _claims,
}
