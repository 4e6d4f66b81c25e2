"""An open-loop load sender: each request goes out when it is due, however long earlier answers take.

Latency is counted from the due time, so that a stalled server is charged for the callers who queued behind
the stall (no coordinated omission). It runs inside the caller's loop; give it uvloop, or a process of its
own (`python -m loadtest send`).
"""

import asyncio
import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from loadtest.connections import Answer, Call, Pool
from loadtest.measure import LedgerRow, Meter, SendResult

_LEAD_SECONDS = 0.05  # from the start to the first due time, so that the first is not late
_SWEEP_SECONDS = 0.1
_AHEAD_SECONDS = 0.05
_BURST = 64  # requests sent in a row when late, before answers get their turn


class Request(NamedTuple):
    """What to send. The key and the clinic are for the ledger."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    idempotency_key: str = ""
    clinic_id: str = ""


class _Told(msgspec.Struct, gc=False):
    """What the ledger wants from an answer's body, success and problem alike."""

    booking_ref: str | None = None
    outcome: str | None = None


_decode_told = msgspec.json.Decoder(_Told).decode
_NOTHING_TOLD = _Told()


async def send(
    url: str,
    due_offsets: Iterable[float],
    requests: Iterator[Request],
    *,
    on_row: Callable[[LedgerRow], None] | None = None,
    again: Callable[[LedgerRow], float | None] | None = None,
    timeout_seconds: float = 30.0,
    max_connections: int = 2000,
) -> SendResult:
    """Send one request at each offset (ascending, seconds from now); returns when all have ended.

    The shorter of offsets and requests ends it. Requests are asked for at most 50 ms before they are due.
    `timeout_seconds` is counted from the due time. `on_row` is called with each request's ledger row within
    100 ms of its end, in the order of ends; `again` after it: the request goes once more so many seconds
    after it ended, at least 0.2, or is done with (None). Raises ValueError if `url` is not
    http://host[:port], and what any of the callables raises: that ends the run.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"not an http:// address: {url!r}")
    run = _Run(parts.hostname, parts.port or 80, iter(due_offsets), requests, on_row, again, max_connections)
    return await run.run(timeout_seconds)


class _Sending(Call):
    __slots__ = ("request",)

    def __init__(self, due: float, request: Request, host: bytes) -> None:
        super().__init__(due, _on_the_wire(request, host))
        self.request = request


class _Ended(NamedTuple):
    call: _Sending
    answer: Answer | None
    error: str
    at: float  # monotonic seconds


class _Run:
    def __init__(
        self,
        host: str,
        port: int,
        due_offsets: Iterator[float],
        requests: Iterator[Request],
        on_row: Callable[[LedgerRow], None] | None,
        again: Callable[[LedgerRow], float | None] | None,
        max_connections: int,
    ) -> None:
        self._host = f"{host}:{port}".encode()
        self._due_offsets = due_offsets
        self._requests = requests
        self._on_row = on_row
        self._again = again
        self._returning: list[tuple[float, int, Request]] = []
        self._alarm: asyncio.Handle | None = None
        self._pool = Pool(host, port, max_connections, self._on_done)
        self._ready: deque[_Sending] = deque()
        self._ended: list[_Ended] = []
        self._meter = Meter()
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self._outstanding = 0
        self._returned = 0
        self._begun = time.monotonic() + _LEAD_SECONDS
        self._begun_at = datetime.now(UTC) + timedelta(seconds=_LEAD_SECONDS)
        self._next_unready: float | None = self._advance()

    async def run(self, timeout_seconds: float) -> SendResult:
        cpu_before = time.process_time()
        self._send_due()
        try:
            while not self._finished.done():
                await asyncio.wait([self._finished], timeout=_SWEEP_SECONDS)
                self._pool.expire(time.monotonic() - timeout_seconds)
                self._write_up()
            self._finished.result()
        finally:
            self._stop_sending()
            self._pool.close()
        return self._meter.result(
            seconds=time.monotonic() - self._begun,
            cpu_seconds=time.process_time() - cpu_before,
            starved=self._pool.starved,
            connections=self._pool.most_open,
        )

    def _advance(self) -> float | None:
        offset = next(self._due_offsets, None)
        return None if offset is None else self._begun + offset

    def _stop_sending(self) -> None:
        self._ready.clear()
        self._returning.clear()
        self._next_unready = None

    def _send_due(self) -> None:
        """Send what is due, never early, then wait for the next.

        The wait is rounded up to the loop's own grain of 1 ms: asked for less, it would spin until then.
        """
        try:
            self._send_burst()
        except Exception as error:
            self._fail(error)
            return
        next_due = self._ready[0].due if self._ready else self._next_due()
        if next_due is None:
            self._finish_if_idle()
            return
        delay = next_due - time.monotonic()
        if delay <= 0:
            self._alarm = self._loop.call_soon(self._send_due)
        else:
            self._alarm = self._loop.call_later(math.ceil(delay * 1000) / 1000, self._send_due)

    def _send_burst(self) -> None:
        for _ in range(_BURST):
            now = time.monotonic()
            if not self._ready:
                self._make_ready(now)
            if not self._ready or self._ready[0].due > now:
                return
            call = self._ready.popleft()
            self._outstanding += 1
            self._meter.taken_up(call.due, now)
            self._pool.submit(call)

    def _make_ready(self, now: float) -> None:
        """Once something is due, make it and what follows shortly: made in a row they cost half."""
        due = self._next_due()
        if due is None or due > now:
            return
        while due is not None and due <= now + _AHEAD_SECONDS:
            request = self._next_request(due)
            if request is not None:
                self._ready.append(_Sending(due, request, self._host))
            due = self._next_due()

    def _next_due(self) -> float | None:
        if not self._returning:
            return self._next_unready
        returning = self._returning[0][0]
        return returning if self._next_unready is None else min(returning, self._next_unready)

    def _next_request(self, due: float) -> Request | None:
        """The one that is due then. None: the requests have come to their end."""
        if self._returning and self._returning[0][0] == due:
            return heapq.heappop(self._returning)[2]
        request = next(self._requests, None)
        self._next_unready = None if request is None else self._advance()
        return request

    def _on_done(self, call: Call, answer: Answer | None, error: str) -> None:
        assert isinstance(call, _Sending)
        self._outstanding -= 1
        self._ended.append(_Ended(call, answer, error, time.monotonic()))
        self._finish_if_idle()

    def _write_up(self) -> None:
        """Count and enter what has ended: a while later and in a row, for the same reason."""
        ended, self._ended = self._ended, []
        for end in ended:
            self._meter.ended(end.at - end.call.due, end.answer.status if end.answer else None, end.error)
            if self._on_row is None and self._again is None:
                continue
            row = self._row(end)
            if self._on_row is not None:
                self._on_row(row)
            if self._again is not None and (after := self._again(row)) is not None:
                self._return(end, after)
        self._finish_if_idle()

    def _return(self, end: _Ended, after: float) -> None:
        heapq.heappush(self._returning, (end.at + max(after, 2 * _SWEEP_SECONDS), self._returned, end.call.request))
        self._returned += 1
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_soon(self._send_due)

    def _fail(self, error: Exception) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)

    def _finish_if_idle(self) -> None:
        all_sent = self._next_due() is None and not self._ready
        unasked = self._again is not None and self._ended
        if all_sent and not unasked and not self._outstanding and not self._finished.done():
            self._finished.set_result(None)

    def _row(self, end: _Ended) -> LedgerRow:
        call, answer, error, ended = end
        told = _told(answer)
        retry_after = answer.retry_after if answer else None
        return LedgerRow(
            due_at=self._at(call.due),
            sent_at=None if call.sent is None else self._at(call.sent),
            answered_at=self._at(ended) if answer else None,
            idempotency_key=call.request.idempotency_key,
            clinic_id=call.request.clinic_id,
            status=answer.status if answer else None,
            booking_ref=told.booking_ref,
            retry_after=int(retry_after) if retry_after and retry_after.isdigit() else None,
            outcome=told.outcome,
            error=error or None,
        )

    def _at(self, monotonic_seconds: float) -> datetime:
        return self._begun_at + timedelta(seconds=monotonic_seconds - self._begun)


def _on_the_wire(request: Request, host: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        request.method.encode(),
        request.path.encode(),
        host,
        head.encode(),
        len(request.body),
        request.body,
    )


def _told(answer: Answer | None) -> _Told:
    if answer is None or not answer.body.startswith(b"{"):
        return _NOTHING_TOLD
    try:
        return _decode_told(answer.body)
    except msgspec.DecodeError:
        return _NOTHING_TOLD
