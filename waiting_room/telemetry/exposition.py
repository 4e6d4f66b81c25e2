"""The page at /metrics."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from waiting_room.telemetry import tracing


def page(accept: str) -> tuple[bytes, str]:
    """(text, content type), for an ``Accept`` header. In Prometheus's own format, which is the cheaper one to write; in
    OpenMetrics', which alone has exemplars, where it is asked for and there are any.
    """
    if tracing.on() and "application/openmetrics-text" in accept:
        text: bytes = openmetrics.generate_latest(REGISTRY)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(), CONTENT_TYPE_LATEST
