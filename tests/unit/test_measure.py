"""The figures of a load run."""

import pytest

from loadtest.measure import Histogram, Meter


def test_percentiles_are_in_milliseconds_to_three_digits() -> None:
    histogram = Histogram()
    assert histogram.percentiles() is None
    for n in range(1, 1001):
        histogram.record(n / 1000)
    found = histogram.percentiles()
    assert found is not None
    assert (found.p50, found.p90, found.p99, found.p999) == pytest.approx((500, 900, 990, 999), rel=1e-3)
    assert (found.count, found.max, found.mean) == pytest.approx((1000, 1000, 500.5), rel=1e-3)


def test_requests_never_answered_count_until_given_up_on() -> None:
    meter = Meter()
    for n, (latency, status, error) in enumerate([(0.1, 202, ""), (0.2, 429, ""), (9.0, None, "timeout")]):
        meter.taken_up(due=n * 0.5, now=n * 0.5 + 0.01)
        meter.ended(latency, status, error)
    result = meter.result(seconds=9.0, cpu_seconds=0.003, starved=0, connections=2)
    assert (result.requests, result.statuses, result.errors) == (3, {202: 1, 429: 1}, {"timeout": 1})
    assert result.achieved_rate == 2.0
    assert result.latency_ms is not None
    assert result.latency_ms.max == pytest.approx(9000, rel=1e-3)
    assert result.accepted_latency_ms is not None
    assert (result.accepted_latency_ms.count, result.cpu_ms_per_request) == (1, 1.0)
    assert result.lateness_ms is not None
    assert result.lateness_ms.p99 == pytest.approx(10, rel=1e-2)


def test_nothing_sent_is_no_figure() -> None:
    result = Meter().result(seconds=1.0, cpu_seconds=0.0, starved=0, connections=0)
    assert (result.requests, result.achieved_rate, result.latency_ms) == (0, 0.0, None)
