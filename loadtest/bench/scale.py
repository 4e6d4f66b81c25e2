"""What rules and holds cost, for 1, 10 and 100 times as much of each thing they are made of.

Two parts. Computing alone: one day, provider, slot, override, claim, booking, as there are more of them. Then holds as
they are made, by one process on real Kafka and PostgreSQL, with rules, seats side by side, service types and stock in
play: one booking, as 1, 10, 100 times as many wait (``scale_holds``).

Linear is a cost of one that does not grow with their number. Cost is CPU time of the processes that do the work, and
sizes are measured in turns, round after round: what else runs on the machine changes how long something takes, hardly
what it costs, and meets all sizes alike. A ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from loadtest.bench import scale_holds
from loadtest.bench.report import Result
from waiting_room.domain.availability import expand
from waiting_room.domain.availability.expand import Calendar
from waiting_room.domain.availability.rules import Availability, Break, Holidays, Override, OverrideKind, Weekly
from waiting_room.domain.candidates import candidates
from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.seats import Candidate, Taken, allot
from waiting_room.domain.slots import DayTaken

TIMES = (1, 10, 100)
LINEAR = 1.5
"""The cost of one at a hundred times as many, over its cost at one and at ten times: 1 is exactly linear, and less is
what they share."""
ROUNDS = 15
ROUND_SECONDS = 0.02
"""CPU time that each size gets in a round, at least."""
HOLDS_A_SECOND = 3_000

FIRST = date(2027, 3, 1)
ZONE = "Europe/Berlin"


class Cost(NamedTuple):
    """Of one, at each of ``TIMES``, and how many times it grew at most; both medians over the rounds."""

    each: list[float]
    growth: float


async def measure(seed: int) -> Result:
    """Expand without the caches that production has; then hold."""
    began = time.monotonic()
    rows: dict[str, Any] = {}
    sizes = " / ".join(map(str, TIMES))
    computed = {name: _cost(work) for name, work in _WORK.items()}
    for name, cost in computed.items():
        figures = " / ".join(f"{each * 1e6:.1f}" for each in cost.each)
        rows[f"{name}: CPU µs each, at {sizes} times; growth"] = f"{figures}; {cost.growth:.2f}"
    holds = await scale_holds.measure(TIMES, seed)
    each = [sum(drained.cpu_seconds.values()) / drained.bookings for drained in holds]
    grown = max(each[-1] / cost for cost in each[:-1])
    waiting = " / ".join(f"{drained.bookings:,}" for drained in holds)
    rows[f"a booking held: CPU ms, at {waiting} waiting; growth"] = (
        f"{' / '.join(f'{cost * 1e3:.3f}' for cost in each)}; {grown:.2f}"
    )
    last = holds[-1]
    rows |= {
        f"of these at the last, CPU ms: {name}": spent * 1e3 / last.bookings for name, spent in last.cpu_seconds.items()
    }
    rows |= {
        f"held a second, of {last.bookings:,}": last.a_second,
        "of all: held": sum(each.held for each in holds),
        "of all: rejected": sum(each.bookings - each.held for each in holds),
        "doses claimed": last.doses,
    }
    worst = max(grown, *(cost.growth for cost in computed.values()))
    return Result(
        name="scale",
        promise="rules and holds cost as much for each of a hundred as for one",
        target=f"<= {LINEAR} times, >= {HOLDS_A_SECOND:,} holds/s",
        value=worst,
        unit="times",
        passed=worst <= LINEAR and last.a_second >= HOLDS_A_SECOND,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows=rows,
        notes=[
            "a day: 08:00 to 17:00 in slots of 15 minutes, an hour's lunch, Berlin's holidays; nothing cached",
            f"holds: {scale_holds.CLINICS} clinics, three providers each, with {scale_holds.SEATS} seats and rules of "
            "their own, two services with buffers, half of the bookings with a dose out of three lots",
        ],
    )


def _cost(work: Callable[[int], None]) -> Cost:
    """Every size in turn, there and back, so that a slow moment is nobody's alone."""
    work(1)  # imports, zones, holidays
    calls = {times: _calls(work, times) for times in TIMES}
    seen: list[dict[int, float]] = []
    for number in range(ROUNDS):
        order = TIMES if number % 2 else TIMES[::-1]
        seen.append({times: _cpu_seconds(work, times, calls[times]) / (times * calls[times]) for times in order})
    each = [statistics.median(costs[times] for costs in seen) for times in TIMES]
    growth = max(statistics.median(costs[TIMES[-1]] / costs[times] for costs in seen) for times in TIMES[:-1])
    return Cost(each, growth)


def _calls(work: Callable[[int], None], times: int) -> int:
    """How many take ``ROUND_SECONDS``."""
    calls = 1
    while _cpu_seconds(work, times, calls) < ROUND_SECONDS:
        calls *= 2
    return calls


def _cpu_seconds(work: Callable[[int], None], times: int, calls: int) -> float:
    begin = time.process_time()
    for _ in range(calls):
        work(times)
    return time.process_time() - begin


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


_BERLIN_DAY = datetime(2027, 3, 1, tzinfo=UTC)
_SERVICE = ServiceType(service_type="vaccination", duration_minutes=15, buffer_minutes=5)
_PROVIDERS = tuple(
    Provider(
        provider_id=f"dr-{number}",
        name="Dr",
        capacity=4,
        service_types=(_SERVICE.service_type,),
        hours=(),
        availability=_office(),
        availability_version=1,
    )
    for number in range(max(TIMES))
)


def _bookings(times: int) -> None:
    """Ten at each of so many providers: candidates by the rules, and the first that is free."""
    taken = Taken()
    until = _BERLIN_DAY + timedelta(days=1)
    for provider in _PROVIDERS[:times]:
        for _ in range(10):
            allot(candidates((provider,), _SERVICE, ZONE, _BERLIN_DAY, until), taken)


_WORK = {
    "days of a provider": _days,
    "providers": _providers,
    "slots of a window, by eight": _slots,
    "extensions of a day": _overrides,
    "claims side by side": _claims,
    "bookings that find a seat, by ten": _bookings,
}
