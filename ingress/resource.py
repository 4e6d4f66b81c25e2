"""An address and its methods: calls the right one, and turns whatever goes wrong into a problem."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ingress import problems
from ingress.answers import problem_answer
from ingress.refusal import Refused

log = structlog.get_logger(__name__)


class Resource:
    """An ASGI endpoint. HEAD is answered as GET; the server leaves the body out."""

    def __init__(self, path: str, methods: Mapping[str, ASGIApp]) -> None:
        self._path = path
        self._methods = dict(methods)
        if "GET" in methods:
            self._methods["HEAD"] = methods["GET"]
        self._allow = ", ".join(sorted(self._methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._methods.get(scope["method"], self._not_allowed)
        try:
            await endpoint(scope, receive, send)
        except Refused as refusal:
            await problem_answer(refusal)(scope, receive, send)
        except ClientDisconnect:
            log.debug("client_gone", path=self._path)
        except Exception:
            error_id = secrets.token_hex(8)
            log.exception("request_failed", error_id=error_id, method=scope["method"], path=self._path)
            unforeseen = Refused(problems.ERROR, "An error that was not foreseen.", more={"error_id": error_id})
            # The server cuts the connection instead if the answer had begun.
            with suppress(RuntimeError):
                await problem_answer(unforeseen)(scope, receive, send)

    async def _not_allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise Refused(problems.METHOD_NOT_ALLOWED, f"This address takes {self._allow}.", headers={"Allow": self._allow})


async def not_found(request: Request, error: Exception) -> Response:
    """For addresses that no route has."""
    return problem_answer(Refused(problems.NOT_FOUND, "There is nothing at this address."))
