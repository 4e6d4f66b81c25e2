"""Dead letters: nothing of the original is lost, and its first append time survives any number of rounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import ConsumerRecord

from waiting_room.dead_letters import APPENDED_AT, REASON, append_time_of, headers_of

APPENDED = datetime(2026, 11, 23, 8, 0, 0, 123_000, tzinfo=UTC)
APPENDED_MS = 1_795_420_800_123


def record_with(headers: list[tuple[str, bytes]], timestamp: int = APPENDED_MS) -> ConsumerRecord:
    return ConsumerRecord(
        topic="booking.requests",
        partition=11,
        offset=42,
        timestamp=timestamp,
        timestamp_type=1,
        key=b"0001",
        value=b"\xff",
        checksum=None,
        serialized_key_size=4,
        serialized_value_size=1,
        headers=headers,
    )


def test_headers_say_why_and_whence_beside_the_records_own() -> None:
    headers = headers_of(record_with([("traceparent", b"00-ab"), ("note", b"1"), ("note", b"2")]), "not\n  UTF-8")
    assert headers == [
        ("traceparent", b"00-ab"),
        ("note", b"1"),
        ("note", b"2"),
        ("dead-letter-reason", b"not UTF-8"),
        ("dead-letter-source-topic", b"booking.requests"),
        ("dead-letter-source-partition", b"11"),
        ("dead-letter-source-offset", b"42"),
        ("original-append-time", b"2026-11-23T08:00:00.123+00:00"),
    ]


def test_a_record_that_fails_again_keeps_its_first_append_time_and_gets_no_header_twice() -> None:
    first = headers_of(record_with([]), "first")
    redriven = record_with(first, timestamp=APPENDED_MS + 3_600_000)
    again = headers_of(redriven, "again")
    assert [name for name, _ in again] == [name for name, _ in first]
    assert dict(again)[APPENDED_AT] == dict(first)[APPENDED_AT]
    assert dict(again)[REASON] == b"again"


def test_the_append_time_is_the_brokers_unless_the_record_was_redriven() -> None:
    assert append_time_of(record_with([])) == APPENDED
    earlier = APPENDED - timedelta(days=1)
    redriven = record_with([(APPENDED_AT, earlier.isoformat().encode())])
    assert append_time_of(redriven) == earlier


@pytest.mark.parametrize("header", [b"", b"yesterday", b"\xff", b"2026-11-23T08:00:00", b"0001-01-01T00:00:00+23:59"])
def test_a_header_that_is_no_time_is_not_believed(header: bytes) -> None:
    assert append_time_of(record_with([(APPENDED_AT, header)])) == APPENDED
