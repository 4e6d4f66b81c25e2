"""One thing a caller can do: how it is called, what it answers, who does it. Routes and /openapi.json come from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ingress.parts import Parts
from ingress.problems import ProblemType
from ingress.requests import KEY_PATTERN, WAIT_SECONDS_MAX

Handler = Callable[[Parts, Request], Awaitable[Response]]
Schema = Mapping[str, Any]
STRING: Final[Schema] = {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    where: Literal["path", "query", "header"]
    schema: Schema
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is no problem: ``body`` is its msgspec type or a JSON schema; no media type, no content.

    ``headers`` by name; those in ``always`` are never left out. ``leads_to``: operations that take the booking_ref.
    """

    status: int
    description: str
    body: type | Schema = field(default_factory=lambda: STRING)
    media_type: str = "application/json"
    headers: Mapping[str, Schema] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``problems`` are those of its own; what every operation can answer is added where it is described.

    ``by_pass``: a patient's pass opens it, as a key does.
    """

    name: str
    method: str
    path: str
    summary: str
    endpoint: ASGIApp
    answers: tuple[Answer, ...]
    problems: tuple[ProblemType, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type | Schema | None = None
    body_media_type: str = "application/json"
    body_required: bool = True
    secured: bool = True
    by_pass: bool = False


def parts_of(scope: Scope) -> Parts:
    """What the application's lifespan made for its requests."""
    parts: Parts = scope["state"]["parts"]
    return parts


def answering(handler: Handler) -> ASGIApp:
    """The endpoint of a handler that makes a Starlette response of a request."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler(parts_of(scope), Request(scope, receive))
        await response(scope, receive, send)

    return endpoint


REF: Final = Parameter(
    name="ref",
    where="path",
    schema=STRING,
    description="A booking_ref; dashes and case do not matter, O is read as 0, I and L as 1.",
    required=True,
)
IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    where="header",
    schema={"type": "string", "pattern": KEY_PATTERN},
    description="Names this request among all of the app's: repeat it with the same key, never books twice.",
    required=True,
)
IF_UNCHANGED: Final = Parameter(
    name="If-Match",
    where="header",
    schema={"type": "string", "pattern": '^"[0-9]{1,9}"$'},
    description="The booking's `ETag`: nothing happens to one that was changed since. Left out, it does not matter.",
)
PREFER: Final = Parameter(
    name="Prefer",
    where="header",
    schema=STRING,
    description=f"`wait=N`: wait up to N seconds (at most {WAIT_SECONDS_MAX}) for the clinic's decision (RFC 7240).",
)
RETRY_AFTER: Final[Schema] = {"type": "integer", "minimum": 0, "description": "Seconds."}
