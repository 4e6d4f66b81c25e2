"""GET /ops: a page that shows what happens, live; /ops/live is its stream of server-sent events.

The page holds no data itself and is given to anybody; the stream asks who is there. Each event is the whole state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingress.answers import encode
from ingress.operation import Handler
from ingress.ops.access import require_operator
from ingress.ops.watch import EVERY_SECONDS
from ingress.parts import Parts
from ingress.static import page


async def live(parts: Parts, request: Request) -> Response:
    require_operator(parts, request)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(_stream(parts), media_type="text/event-stream", headers=headers)


async def _stream(parts: Parts) -> AsyncIterator[bytes]:
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
