"""A Monday at national scale: who the clinics are, when patients call, what goes wrong.

Clinics differ in size as businesses do: a few get a hundred times as many calls as most (Pareto, index 1.3), and
have more lines. Most calls come in the hour after eight.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from loadtest.arrivals import MondaySpike, offsets
from loadtest.clinics.behaviour import ClinicBehaviour, Outage
from waiting_room.domain.booking_ref import clinic_id_of_number

HOUR = 3_600.0
OPENS, CLOSES = 6 * HOUR, 20 * HOUR
EIGHT = 8 * HOUR
SPIKE_SHARE, RAMP_SECONDS, HALF_LIFE_SECONDS = 0.6, 120.0, 1_200.0
LARGEST = 100.0
MOST_CALLS = 8
TAKES_A_SECOND_PER_CALL = 1 / 1.7

CLASSES = {"slow": 0.02, "hanging": 0.01, "down": 0.01}
"""Shares of clinics: ten times slower all day; hanging, or turning everything away, from five past eight for half an
hour. The others are healthy."""


@dataclass(frozen=True)
class Monday:
    """``kinds``: each clinic's class."""

    behaviours: dict[str, ClinicBehaviour]
    kinds: dict[str, str]
    weights: list[float]

    @classmethod
    def of(cls, clinics: int, seed: int, *, classes: Mapping[str, float] = CLASSES) -> Monday:
        """The same arguments make the same country; other ``classes`` change nothing but what goes wrong."""
        chance = Random(f"country {seed}")
        behaviours, kinds, weights = {}, {}, []
        for number in range(1, clinics + 1):
            weight = min(chance.paretovariate(1.3), LARGEST)
            draw = chance.random()
            kind = _kind(draw, classes)
            clinic_id = clinic_id_of_number(number)
            calls = min(max(round(weight), 1), MOST_CALLS)
            overload = chance.choice(("reject", "slow"))
            behaviours[clinic_id] = _behaviour(kind, calls, overload)
            kinds[clinic_id] = kind
            weights.append(weight)
        return cls(behaviours, kinds, weights)

    def arrivals(self, bookings: int, seed: int) -> Iterator[tuple[float, str]]:
        """(moment, clinic_id) of about so many bookings, in order."""
        chance = Random(f"arrivals {seed}")
        clinic_ids, cumulative = list(self.behaviours), list(accumulate(self.weights))
        day = CLOSES - OPENS
        base = bookings * (1 - SPIKE_SHARE) / day
        # The area under the spike: a ramp, then an exponential decay.
        peak = base + bookings * SPIKE_SHARE / (RAMP_SECONDS / 2 + HALF_LIFE_SECONDS / 0.6931)
        profile = MondaySpike(
            base_rate=base,
            peak_rate=peak,
            seconds=day,
            opens_after=EIGHT - OPENS,
            ramp_seconds=RAMP_SECONDS,
            half_life_seconds=HALF_LIFE_SECONDS,
        )
        for offset in offsets(profile, seed):
            yield OPENS + offset, clinic_ids[bisect(cumulative, chance.random() * cumulative[-1])]


def _kind(draw: float, classes: Mapping[str, float]) -> str:
    for kind, share in classes.items():
        if draw < share:
            return kind
        draw -= share
    return "healthy"


def _behaviour(kind: str, calls: int, overload: str) -> ClinicBehaviour:
    outages: tuple[Outage, ...] = ()
    if kind in ("hanging", "down"):
        outages = (Outage(EIGHT + 300, EIGHT + 2_100, "hang" if kind == "hanging" else "503"),)
    return ClinicBehaviour(
        capacity=calls,
        overload="slow" if overload == "slow" else "reject",
        slow_factor=10.0 if kind == "slow" else 1.0,
        outages=outages,
    )
