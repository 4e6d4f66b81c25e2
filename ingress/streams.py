"""Live streams: how many may be open at once, of one caller and in this process, and the answer that one is.

A stream keeps a connection, and looks at its booking every second, for as long as somebody may be there. Whoever opens
them without closing any is refused before others, and before a booking finds no connection left.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ingress import problems
from ingress.problems import ProblemType
from ingress.refusal import Refused
from waiting_room.access import OwnerKind
from waiting_room.messages import AccessKey
from waiting_room.settings import Settings
from waiting_room.telemetry import metrics

MEDIA_TYPE: Final = "text/event-stream"
OF_A_PASS: Final = 8
"""A patient has a few windows open, and a phone."""

RETRY_SECONDS: Final = 5
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

for _kind in (problems.TOO_MANY_STREAMS, problems.STREAMS_FULL):
    metrics.REFUSED.labels(_kind.name)


class Streams:
    """The places there are. ``of_caller``: at most so many for one app, clinic or operator."""

    def __init__(self, most: int, of_caller: int) -> None:
        self._most = most
        self._of_caller = of_caller
        self._all = 0
        self._open: Counter[tuple[str, str] | None] = Counter()

    @contextmanager
    def place(self, key: AccessKey | None) -> Iterator[None]:
        """One for this caller meanwhile; None is whoever is at this machine. Raises Refused: 429, 503."""
        caller = (key.owner_kind, key.owner_id) if key else None
        of_caller = min(OF_A_PASS, self._of_caller) if key and key.owner_kind == OwnerKind.PASS else self._of_caller
        if self._open[caller] >= of_caller:
            raise _refused(problems.TOO_MANY_STREAMS, f"This caller has {of_caller} live streams open here already.")
        if self._all >= self._most:
            raise _refused(problems.STREAMS_FULL, "As many live streams are open here as this process carries.")
        self._all += 1
        self._open[caller] += 1
        try:
            yield
        finally:
            self._all -= 1
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


def streams_of(settings: Settings) -> Streams:
    """As set, but no more than half of the files that the process may open: bookings come over connections too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = settings.ingress_streams_max
    if files != resource.RLIM_INFINITY:
        most = min(most, files // 2)
    return Streams(most, settings.ingress_streams_caller_max)


class EventStream(StreamingResponse):
    """Server-sent events, until they end or the caller is gone. Then ``events`` is closed, and its place given back."""

    def __init__(self, events: AsyncGenerator[bytes, None], place: AbstractContextManager[object]) -> None:
        super().__init__(events, media_type=MEDIA_TYPE, headers=_HEADERS)
        self._events = events
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)


def headers_only() -> Response:
    """What HEAD gets."""
    return Response(headers=_HEADERS, media_type=MEDIA_TYPE)


def _refused(kind: ProblemType, detail: str) -> Refused:
    metrics.REFUSED.labels(kind.name).inc()
    return Refused(kind, detail, headers={"Retry-After": str(RETRY_SECONDS)})
