"""GET /ops: a page that shows what happens, live; /ops/live is its stream of server-sent events.

The page holds no data itself and is given to anybody; the stream asks who is there. Each event is the whole state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingress.answers import encode
from ingress.operation import Handler
from ingress.ops.access import require_operator
from ingress.ops.watch import EVERY_SECONDS
from ingress.parts import Parts

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


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


def _file(name: str, media_type: str) -> Handler:
    content = (Path(__file__).parent / name).read_bytes()

    async def answer(parts: Parts, request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return answer


OPS: Final[Mapping[str, Handler]] = {
    "/ops": _file("ops.html", "text/html"),
    "/ops/ops.css": _file("ops.css", "text/css"),
    "/ops/ops.js": _file("ops.js", "text/javascript"),
    "/ops/live": live,
}
