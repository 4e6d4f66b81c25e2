"""What libraries log beside us: enough to know of it, and not a line for each of their tries."""

from __future__ import annotations

import logging

from waiting_room.telemetry.logs import REPEATED_SECONDS, SELDOM_SECONDS, Repeated, Seldom


def record(logger: str, line: int, text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "client.py", line, text, args, None)


def test_one_line_of_a_library_is_heard_seldom_and_how_often_it_was_said() -> None:
    now = 0.0
    seldom = Seldom("aiokafka", lambda: now)

    def said(logger: str, line: int, *args: object) -> str | None:
        told = record(logger, line, "no %s", *args)
        return told.getMessage() if seldom.filter(told) else None

    assert [said("aiokafka.client", 1, node) for node in range(3)] == ["no 0", None, None]
    assert said("aiokafka.consumer", 2, "group") == "no group", "it is another's trouble"
    assert [said("asyncio", 1, "task") for _ in range(2)] == ["no task"] * 2
    now += SELDOM_SECONDS
    assert [said("aiokafka.client", 1, 9) for _ in range(2)] == ["no 9 (and 2 times before)", None]
    now += SELDOM_SECONDS
    assert said("aiokafka.consumer", 2, "%s") == "no %s"


def test_what_happens_again_and_again_is_said_at_once_and_then_seldom_with_how_often_it_was() -> None:
    now = 0.0
    repeated = Repeated(lambda: now)
    assert [repeated.due() for _ in range(4)] == [1, 0, 0, 0]
    now += REPEATED_SECONDS
    assert [repeated.due() for _ in range(2)] == [4, 0]
    now += 10 * REPEATED_SECONDS
    assert repeated.due() == 2
