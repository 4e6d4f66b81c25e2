"""What every command needs of its HTTP request: headers and body, read once and refused in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from ingress import problems
from ingress.refusal import Refused, wrong_header

KEY_PATTERN: Final = "^[!-~]{1,255}$"
WAIT_SECONDS_MAX: Final = 30
_KEY = re.compile(rb"[!-~]{1,255}")
_WAIT = re.compile(rb"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)

Headers = Mapping[bytes, bytes]


def idempotency_key(headers: Headers) -> str:
    """Raises Refused (400)."""
    key = headers.get(b"idempotency-key")
    if key is None or not _KEY.fullmatch(key):
        detail = "The header is missing." if key is None else "The header is not 1 to 255 visible ASCII characters."
        raise wrong_header(
            "Idempotency-Key",
            detail,
            "Send a new random key (a UUID) with each new request, the same key with each repetition of it.",
            problems.BAD_HEADER,
        )
    return key.decode("ascii")


def wait_seconds(headers: Headers) -> int:
    """``Prefer: wait=N`` (RFC 7240), at most WAIT_SECONDS_MAX; 0 without it. A preference is never an error."""
    prefer = headers.get(b"prefer")
    if prefer is None or not (wait := _WAIT.search(prefer)):
        return 0
    return min(int(wait[1]), WAIT_SECONDS_MAX)


def require_json(headers: Headers) -> None:
    """Raises Refused (415)."""
    content_type = headers.get(b"content-type", b"")
    if content_type.split(b";", 1)[0].strip().lower() != b"application/json":
        told = content_type.decode("latin-1") or "nothing"
        raise wrong_header(
            "Content-Type",
            f"The header says {told}.",
            "Send JSON and say so: application/json.",
            problems.WRONG_CONTENT_TYPE,
        )


async def json_body(request: Request, max_bytes: int) -> bytes:
    """As ``body``, of a request that says that it is JSON. Raises Refused (415), too."""
    headers = dict(request.scope["headers"])
    require_json(headers)
    return await body(headers, request.receive, max_bytes)


async def body(headers: Headers, receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Raises Refused (413), before reading on, and ClientDisconnect."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_bytes: int) -> Refused:
    # What is left of the body is not read: the connection cannot be used again.
    return Refused(problems.BODY_TOO_LARGE, f"A body may have {max_bytes} bytes.", headers={"Connection": "close"})
