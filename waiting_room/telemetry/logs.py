"""Structured logs: one JSON object a line on standard error, no patient data in any of them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

import structlog

from waiting_room.telemetry import tracing

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

SELDOM_SECONDS: Final = 5.0
REPEATED_SECONDS: Final = 60.0


class Seldom(logging.Filter):
    """Lets through what a library says from one line of its code every SELDOM_SECONDS at most, with how often it said
    so meanwhile. While Kafka is away each client of aiokafka says so at each try, ten times a second.
    """

    def __init__(self, library: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._clock = clock
        self._said: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said now."""
        if not super().filter(record):
            return True  # it is another's
        line, now = (record.pathname, record.lineno), self._clock()
        said_at, left_out = self._said.get(line, (float("-inf"), 0))
        if now - said_at < SELDOM_SECONDS:
            self._said[line] = said_at, left_out + 1
            return False
        self._said[line] = now, 0
        if left_out:
            record.msg = f"{record.msg} (and {left_out} times before)"
        return True


class Repeated:
    """Counts what happens again and again for one reason, so that a line every REPEATED_SECONDS tells of all of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = float("-inf")
        self._times = 0

    def due(self) -> int:
        """It has happened. How often since it was said last, if it is to be said now; else 0."""
        self._times += 1
        now = self._clock()
        if now - self._said_at < REPEATED_SECONDS:
            return 0
        times, self._said_at, self._times = self._times, now, 0
        return times


def configure(role: str, level: str) -> None:
    """Set up logging for this process; every line carries its ``role``."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            tracing.name_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom("aiokafka"))
    logging.basicConfig(level=max(_LEVELS[level], logging.WARNING), handlers=[handler], format="%(message)s")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
