"""What hold puts off: a clinic's records stay in order, neighbours do not wait, nothing is there twice."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from tests.support.commands import record
from waiting_room.messages import Probe
from workers.hold.waiting import Waiting

HERE = ("booking.requests", 2, b"0001")


def of(clinic_id: str, *offsets: int, partition: int = 2) -> list[ConsumerRecord]:
    return [record(Probe(sent_by="x"), key=clinic_id, offset=offset, partition=partition) for offset in offsets]


def offsets(records: list[ConsumerRecord]) -> list[int]:
    return [each.offset for each in records]


def waits(waiting: Waiting, most: int = 100) -> list[int]:
    return offsets(list(next(waiting.batches(HERE, most), ())))


def test_while_nothing_waits_everything_is_ready() -> None:
    assert offsets(Waiting().ready(of("0001", 1, 2))) == [1, 2]


def test_what_comes_of_a_clinic_that_waits_lines_up_behind_and_neighbours_go_on() -> None:
    waiting = Waiting()
    assert waiting.add(of("0001", 1)) == [HERE]
    assert offsets(waiting.ready([*of("0001", 2), *of("0002", 3), *of("0001", 4)])) == [3]
    assert waits(waiting) == [1, 2, 4]
    assert waiting.add(of("0001", 5)) == []


def test_the_same_clinic_in_another_partition_is_another_line() -> None:
    waiting = Waiting()
    waiting.add(of("0001", 1))
    assert offsets(waiting.ready(of("0001", 7, partition=3))) == [7]


def test_what_is_read_again_while_it_waits_keeps_its_place_and_is_there_once() -> None:
    waiting = Waiting()
    waiting.add(of("0001", 1, 3))
    assert waiting.ready(of("0001", 1, 3, 4)) == []
    assert waits(waiting) == [1, 3, 4]
    assert len(waiting) == 3


def test_it_is_worked_off_batch_by_batch_until_something_must_wait_on() -> None:
    waiting = Waiting()
    waiting.add(of("0001", 1, 2, 3))
    batches = waiting.batches(HERE, 2)
    assert not waiting.done(HERE, list(next(batches)))
    assert offsets(list(next(batches))) == [3]
    assert waiting.done(HERE, of("0001", 3))
    assert next(batches, None) is None
    assert not waiting.lines()
    assert len(waiting) == 0
