"""Structured logs: one JSON object a line on standard error, no patient data in any of them."""

from __future__ import annotations

import logging
import sys

import structlog

from waiting_room.telemetry import tracing

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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
    logging.basicConfig(level=max(_LEVELS[level], logging.WARNING), stream=sys.stderr, format="%(message)s")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
