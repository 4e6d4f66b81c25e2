"""What a load run leaves behind: a ledger row for each request, and the figures over all of them."""

from array import array
from collections import Counter
from datetime import datetime

import msgspec
from hdrh.histogram import HdrHistogram

_LONGEST_MICROSECONDS = 3_600_000_000
_DIGITS = 3


class LedgerRow(msgspec.Struct, frozen=True, gc=False):
    """One request, for an audit to reconcile. `sent_at` null: it never left. `status` null: never answered.

    `retry_after` in seconds. `outcome` is what a refusal says became of the command (none | unknown).
    `error`: connect | disconnected | timeout.
    """

    due_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    idempotency_key: str
    clinic_id: str
    status: int | None
    booking_ref: str | None
    retry_after: int | None
    outcome: str | None
    error: str | None


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds, to three significant digits."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class SendResult(msgspec.Struct, frozen=True):
    """`latency_ms` is counted from the due time, over all requests; those never answered count until given
    up on.

    `accepted_latency_ms`: those answered 2xx. `lateness_ms`: from due until the sender took the request up,
    its own fault alone; a sender that shows much of it was too slow for the figures beside it. `starved`:
    requests that found the connections at their bound. `cpu_ms_per_request` is of the whole process,
    request making included.
    """

    requests: int
    seconds: float
    achieved_rate: float
    latency_ms: Percentiles | None
    accepted_latency_ms: Percentiles | None
    lateness_ms: Percentiles | None
    statuses: dict[int, int]
    errors: dict[str, int]
    starved: int
    connections: int
    cpu_ms_per_request: float


class Histogram:
    """Durations in seconds, to percentiles in milliseconds; 1 microsecond to 1 hour.

    Recording only takes a note: the histogram is filled afterwards, when nothing is being timed.
    """

    def __init__(self) -> None:
        self._durations = array("d")
        self.record = self._durations.append

    def percentiles(self) -> Percentiles | None:
        """None if nothing was recorded."""
        count = len(self._durations)
        if not count:
            return None
        histogram = HdrHistogram(1, _LONGEST_MICROSECONDS, _DIGITS)
        for seconds in self._durations:
            histogram.record_value(min(max(round(seconds * 1e6), 1), _LONGEST_MICROSECONDS))
        p50, p90, p99, p999 = (histogram.get_value_at_percentile(p) / 1000 for p in (50.0, 90.0, 99.0, 99.9))
        return Percentiles(
            count=count,
            mean=round(histogram.get_mean_value() / 1000, 3),
            p50=p50,
            p90=p90,
            p99=p99,
            p999=p999,
            max=histogram.get_max_value() / 1000,
        )


class Meter:
    """Takes note of each request as it is taken up and as it ends."""

    def __init__(self) -> None:
        self._latency = Histogram()
        self._accepted = Histogram()
        self._lateness = Histogram()
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()
        self._taken_up = 0
        self._first: float | None = None
        self._last = 0.0

    def taken_up(self, due: float, now: float) -> None:
        self._taken_up += 1
        self._lateness.record(now - due)
        if self._first is None:
            self._first = now
        self._last = now

    def ended(self, latency_seconds: float, status: int | None, error: str) -> None:
        """`error` counts where there is no status."""
        self._latency.record(latency_seconds)
        if status is None:
            self._errors[error] += 1
            return
        self._statuses[status] += 1
        if 200 <= status < 300:
            self._accepted.record(latency_seconds)

    def result(self, seconds: float, cpu_seconds: float, starved: int, connections: int) -> SendResult:
        """`seconds` from start to the last end. The rate is taken between the first and last taken up."""
        spread = self._last - self._first if self._first is not None else 0.0
        return SendResult(
            requests=self._taken_up,
            seconds=round(seconds, 3),
            achieved_rate=round((self._taken_up - 1) / spread, 2) if spread else 0.0,
            latency_ms=self._latency.percentiles(),
            accepted_latency_ms=self._accepted.percentiles(),
            lateness_ms=self._lateness.percentiles(),
            statuses=dict(sorted(self._statuses.items())),
            errors=dict(sorted(self._errors.items())),
            starved=starved,
            connections=connections,
            cpu_ms_per_request=round(1000 * cpu_seconds / self._taken_up, 4) if self._taken_up else 0.0,
        )
