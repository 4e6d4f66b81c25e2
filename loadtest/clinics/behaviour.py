"""What a simulated clinic is like: how long it takes, how much it carries, how it fails. Pure data.

All durations are in seconds; rates are shares of calls, 0 to 1. `time_scale` multiplies every duration, so
that 0.1 plays an hour of behaviour in six minutes.

Latency is lognormal, given by its mean (a clinic serves capacity / mean calls a second) and the sigma of
its logarithm, cut to [latency_min, latency_max]. With the defaults 95% of calls take 0.9 to 2.9 s.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
ClinicId = Annotated[str, Meta(pattern="^[0-9A-HJKMNP-TV-Z]{4}$")]

OutageKind = Literal["refuse_connection", "hang", "503"]
"""`refuse_connection` resets the connection before anything was done. All clinics share one port, so the
closest a single one can come to a closed port is this: the caller has connected, sent, and cannot know what
became of it."""


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Down from `from_second` to before `to_second` after the simulator's start; null: for good."""

    from_second: Seconds
    to_second: Seconds | None
    kind: OutageKind


class ClinicBehaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One clinic's character. Raises ValueError where the parts contradict each other."""

    latency_mean: Positive = 1.7
    latency_sigma: Seconds = 0.3
    latency_min: Seconds = 0.2
    latency_max: Seconds = 8.0
    slow_factor: Positive = 1.0  # multiplies latency, beyond latency_max too
    instant: bool = False  # no latency at all: for benches of everything but clinics
    processing_limit: Positive = 30.0  # nothing takes effect later; the declared settle_seconds lie above

    capacity: Annotated[int, Meta(ge=1)] = 4  # calls it handles side by side; callers are not told
    overload: Literal["reject", "slow", "both"] = "reject"  # both: slow up to twice the capacity, then reject
    overload_status: Literal[429, 503] = 503
    retry_after: Seconds = 2.0

    error_rate: Share = 0.0  # 500, nothing done
    refuse_rate: Share = 0.0  # 409 to a booking
    refuse_reason: str = "slot_taken"
    hang_rate: Share = 0.0  # never answers, nothing done
    drop_rate: Share = 0.0  # done, then the connection is dropped
    late_rate: Share = 0.0  # done `late_after` seconds from the call's start, never answered
    late_after: Seconds = 20.0

    outages: tuple[Outage, ...] = ()
    down: OutageKind | None = None  # an outage from now until this is cleared

    idempotency: bool = True  # a key seen before is answered again, not carried out again
    lookup: bool = True  # false: 501 to GET
    time_scale: Positive = 1.0

    def __post_init__(self) -> None:
        if self.latency_min > self.latency_max:
            raise ValueError("latency_min is above latency_max")
        rates = (self.hang_rate, self.error_rate, self.refuse_rate, self.drop_rate, self.late_rate)
        if math.fsum(rates) > 1 + 1e-9:
            raise ValueError("the rates of hang, error, refuse, drop and late sum to more than 1")

    @property
    def always_at_once(self) -> bool:
        """Whether every call is carried out at once, whatever the draws and the time."""
        faults = self.hang_rate or self.error_rate or self.refuse_rate or self.drop_rate or self.late_rate
        return self.instant and not faults and not self.outages and self.down is None

    def rejects(self, load: int) -> bool:
        """Whether a call that makes it `load` calls in flight is turned away."""
        if load <= self.capacity or self.overload == "slow":
            return False
        return self.overload == "reject" or load > 2 * self.capacity

    def outage_at(self, elapsed_seconds: float) -> OutageKind | None:
        """The outage in force, the forced one first; `elapsed_seconds` since the simulator's start."""
        if self.down is not None:
            return self.down
        for outage in self.outages:
            begun = elapsed_seconds >= outage.from_second * self.time_scale
            if begun and (outage.to_second is None or elapsed_seconds < outage.to_second * self.time_scale):
                return outage.kind
        return None

    def patched(self, changes: dict[str, object]) -> "ClinicBehaviour":
        """This with some fields replaced. Raises msgspec.ValidationError on an unknown field or bad value."""
        return msgspec.convert({**msgspec.to_builtins(self), **changes}, ClinicBehaviour)


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The spec file: `{"clinics": {"000A": {"capacity": 3}, ...}}`."""

    clinics: dict[ClinicId, ClinicBehaviour]


def load_spec(path: Path) -> Spec:
    """Read a spec file. Raises OSError, msgspec.DecodeError, msgspec.ValidationError."""
    return msgspec.json.decode(path.read_bytes(), type=Spec)
