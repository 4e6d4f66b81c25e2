"""GET /ops: a page that shows what happens, live; /ops/live is its stream of server-sent events.

The page holds no data itself and is given to anybody; the stream asks who is there. Each event is the whole state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ingress.answers import encode
from ingress.operation import Handler
from ingress.ops.access import require_operator
from ingress.ops.watch import EVERY_SECONDS
from ingress.parts import Parts
from ingress.static import page
from ingress.streams import EventStream, headers_only


async def live(parts: Parts, request: Request) -> Response:
    key = require_operator(parts, request)
    if request.method == "HEAD":
        return headers_only()
    with ExitStack() as opened:
        opened.enter_context(parts.streams.place(key))
        return EventStream(_stream(parts), opened.pop_all())


async def _stream(parts: Parts) -> AsyncGenerator[bytes, None]:
    while not parts.stopping.is_set():
        told = await parts.ops.look(parts.lines, parts.directory)
        yield b"event: essentials\ndata: %s\n\n" % encode(told)
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await parts.stopping.wait()
        except TimeoutError:
            continue


OPS: Final[dict[str, Handler]] = {
    **page("/ops", Path(__file__).parent, "ops"),
    "/ops/live": live,
}
