"""Dead letters as a person deals with them: nothing of a patient is shown, nothing of a record is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import ConsumerRecord

from tests.stack import Kafka
from tests.support.cli import Said, waiting_room
from tests.support.commands import book
from tests.support.world import ClinicSpec, settings_for
from waiting_room import dead_letter_box
from waiting_room.dead_letter_box import Outcome
from waiting_room.dead_letters import append_time_of, put_aside
from waiting_room.kafka import Producer
from waiting_room.messages import encode
from waiting_room.topics import BOOKING_REQUESTS
from waiting_room.whole_topics import read_whole
from workers.hold.read import command_of

CLINIC = ClinicSpec("0001", partition=1)
BOOKING = book(CLINIC, "of Jane Doe", accept_by=datetime.now(UTC) + timedelta(days=1))
GARBAGE = b"\xff\x00Jane Doe\x1b[2J"


async def requests(kafka: Kafka) -> list[ConsumerRecord]:
    batches = read_whole(settings_for(None, kafka), BOOKING_REQUESTS)
    found = [record async for _, _, records in batches for record in records]
    return sorted(found, key=lambda record: (record.partition, record.offset))


@pytest.fixture
async def two_letters(fresh_kafka: Kafka) -> Kafka:
    """A booking and garbage, both put aside; the first is booking.requests.dlq/1/0."""
    producer = Producer(settings_for(None, fresh_kafka))
    await producer.start()
    await (await producer.send(BOOKING_REQUESTS, 1, "0001", encode(BOOKING), [("traceparent", b"00-ab")]))
    await (await producer.send(BOOKING_REQUESTS, 2, b"Jane Doe", GARBAGE))
    for record in await requests(fresh_kafka):
        await put_aside(producer, record, "cannot be\n stored")
    await producer.stop()
    return fresh_kafka


async def dlq(kafka: Kafka, *arguments: str) -> Said:
    return await waiting_room("dlq", *arguments, kafka=kafka)


async def test_nothing_waits_at_first(fresh_kafka: Kafka) -> None:
    assert await dlq(fresh_kafka, "list") == Said(0, "nothing waits\n", "")


async def test_the_list_says_why_and_whence_and_nothing_of_a_patient(two_letters: Kafka) -> None:
    said = await dlq(two_letters, "list")
    assert said.status == 0
    _, first, second = said.out.splitlines()
    assert first.split()[0] == "booking.requests.dlq/1/0"
    assert first.split()[3:] == [
        "booking.requests/1/0", "0001", str(len(encode(BOOKING))), "waits", "cannot", "be", "stored",
    ]  # fmt: skip
    assert second.split()[3:5] == ["booking.requests/2/0", "-"]
    assert "Jane" not in said.out


async def test_contents_are_shown_only_when_asked_for(two_letters: Kafka) -> None:
    said = await dlq(two_letters, "show", "booking.requests.dlq/2/0")
    assert "Jane" not in said.out
    assert f"value           {len(GARBAGE)} bytes" in said.out
    said = await dlq(two_letters, "show", "booking.requests.dlq/2/0", "--reveal")
    assert r"value           b'\xff\x00Jane Doe\x1b[2J'" in said.out
    said = await dlq(two_letters, "show", "booking.requests.dlq/7/7")
    assert said == Said(1, "", "there is no booking.requests.dlq/7/7\n")


async def test_a_redriven_record_is_what_it_was_when_it_was_first_appended(two_letters: Kafka) -> None:
    said = await dlq(two_letters, "redrive", "booking.requests.dlq/1/0")
    assert said == Said(0, "redriven booking.requests.dlq/1/0\n", "")
    first, again = [record for record in await requests(two_letters) if record.partition == 1]
    assert (again.key, again.value) == (first.key, first.value)
    assert dict(again.headers)["traceparent"] == b"00-ab"
    assert append_time_of(again) == append_time_of(first)
    too_late = (BOOKING.accept_by + timedelta(hours=1) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    object.__setattr__(again, "timestamp", too_late)
    item = command_of(again)
    assert item is not None
    assert item.command == BOOKING


async def test_what_is_settled_is_no_more_listed_and_not_settled_twice(two_letters: Kafka) -> None:
    await dlq(two_letters, "redrive", "booking.requests.dlq/1/0")
    said = await dlq(two_letters, "discard", "booking.requests.dlq/1/0", "booking.requests.dlq/2/0")
    assert said == Said(1, "", "booking.requests.dlq/1/0 was redriven already\n")
    said = await dlq(two_letters, "discard", "--all")
    assert said == Said(0, "discarded booking.requests.dlq/2/0\n", "")
    assert (await dlq(two_letters, "list")).out == "nothing waits\n"
    settled = (await dlq(two_letters, "list", "--settled")).out.splitlines()[1:]
    assert [line.split()[6] for line in settled] == ["redriven", "discarded"]
    letters = await dead_letter_box.read(settings_for(None, two_letters))
    assert [letter.outcome for letter in letters] == [Outcome.REDRIVEN, Outcome.DISCARDED]


async def test_a_record_of_some_other_program_is_shown_and_not_sent_anywhere(fresh_kafka: Kafka) -> None:
    producer = Producer(settings_for(None, fresh_kafka))
    await producer.start()
    await (await producer.send("booking.events.dlq", 3, None, b"?", [("dead-letter-source-partition", b"x")]))
    await producer.stop()
    assert " unknown " in (await dlq(fresh_kafka, "list")).out
    said = await dlq(fresh_kafka, "redrive", "--all")
    assert said == Said(1, "", "booking.events.dlq/3/0 does not say where it came from\n")


async def test_ids_or_all_must_be_given(fresh_kafka: Kafka) -> None:
    for arguments in ([], ["--all", "booking.requests.dlq/0/0"]):
        said = await dlq(fresh_kafka, "redrive", *arguments)
        assert said.status == 2
        assert "give ids, or --all" in said.err
