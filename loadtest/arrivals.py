"""When requests are due, decided beforehand: an open loop sends whether or not the last answer has come.

Pure. A profile gives offsets in seconds from the start, ascending, all below `seconds`; the same profile
and seed give the same offsets.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

Rate = Annotated[float, Meta(gt=0)]  # requests a second
Seconds = Annotated[float, Meta(ge=0)]


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="constant"):
    """Evenly spaced."""

    rate: Rate
    seconds: Seconds


class Poisson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="poisson"):
    """Independent callers, `rate` a second on average."""

    rate: Rate
    seconds: Seconds


class MondaySpike(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="monday_spike"):
    """A quiet night, then the lines open: Poisson at `base_rate` until `opens_after`, up to `peak_rate`
    within `ramp_seconds`, then down again, the excess halving every `half_life_seconds`.
    """

    base_rate: Rate
    peak_rate: Rate
    seconds: Seconds
    opens_after: Seconds
    ramp_seconds: Seconds
    half_life_seconds: Rate

    def __post_init__(self) -> None:
        if self.peak_rate < self.base_rate:
            raise ValueError("peak_rate is below base_rate")

    def rate_at(self, offset: float) -> float:
        """Requests a second at this many seconds from the start."""
        since_open = offset - self.opens_after
        if since_open < 0:
            return self.base_rate
        if since_open < self.ramp_seconds:
            share = since_open / self.ramp_seconds
        else:
            share = math.exp2((self.ramp_seconds - since_open) / self.half_life_seconds)
        return self.base_rate + (self.peak_rate - self.base_rate) * share


class Surge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="surge"):
    """Poisson at `rate`, `times` as much from `begins_after` on for `lasts_seconds`, then as before."""

    rate: Rate
    times: Annotated[float, Meta(ge=1)]
    begins_after: Seconds
    lasts_seconds: Seconds
    seconds: Seconds

    def rate_at(self, offset: float) -> float:
        """Requests a second at this many seconds from the start."""
        surges = self.begins_after <= offset < self.begins_after + self.lasts_seconds
        return self.rate * self.times if surges else self.rate


Profile = Constant | Poisson | MondaySpike | Surge


def offsets(profile: Profile, seed: int) -> Iterator[float]:
    """The due times of a profile."""
    match profile:
        case Constant(rate, seconds):
            # The epsilon keeps rounding from adding one: 0.1 s at 30/s are 3, though 0.1 * 30 > 3.
            return (n / rate for n in range(math.ceil(rate * seconds - 1e-9)))
        case Poisson(rate, seconds):
            return _poisson(rate, seconds, Random(seed))
        case MondaySpike():
            return _thinned(profile, profile.peak_rate, Random(seed))
        case Surge():
            return _thinned(profile, profile.rate * profile.times, Random(seed))


def _poisson(rate: float, seconds: float, random: Random) -> Iterator[float]:
    due = random.expovariate(rate)
    while due < seconds:
        yield due
        due += random.expovariate(rate)


def _thinned(profile: MondaySpike | Surge, peak_rate: float, random: Random) -> Iterator[float]:
    """Arrivals at the peak rate, each kept with the share its moment asks for (Lewis and Shedler, 1979)."""
    for due in _poisson(peak_rate, profile.seconds, random):
        if random.random() * peak_rate < profile.rate_at(due):
            yield due
