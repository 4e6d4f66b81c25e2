"""The ASGI application: its routes, and what runs while it serves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from ingress.answers import json_answer
from ingress.availability import GET_AVAILABILITY, PUT_AVAILABILITY
from ingress.book import BOOK
from ingress.busy import DELETE_ONE_BUSY, LIST_BUSY, PUT_BUSY, PUT_ICS, PUT_ONE_BUSY
from ingress.busy_feed import DELETE_BUSY_FEED, GET_BUSY_FEED, PUT_BUSY_FEED
from ingress.cancel import CANCEL
from ingress.clinics import GET_CLINIC, LIST_CLINICS, LIST_PROVIDERS
from ingress.closures import CLOSE
from ingress.erasure import ERASE
from ingress.event_types import EVENT_TYPES
from ingress.events import EVENTS
from ingress.feed import MAKE_FEED, READ_FEED, WITHDRAW_FEED
from ingress.get import GET
from ingress.history import HISTORY
from ingress.lists import LIST
from ingress.offers import ACCEPT, DECLINE
from ingress.openapi import document
from ingress.operation import answering
from ingress.ops.page import OPS
from ingress.overrides import DELETE_OVERRIDE, LIST_OVERRIDES, PUT_OVERRIDE
from ingress.parts import Parts, wired
from ingress.passes.api import PASSES
from ingress.passes.page import PASS_PAGE
from ingress.process import HEALTHZ, METRICS, PROBLEM, READYZ
from ingress.reschedule import RESCHEDULE
from ingress.resource import Resource, not_found
from ingress.search import SEARCH
from ingress.slots import BUSINESS_SLOTS, CLINIC_SLOTS, PROVIDER_SLOTS
from ingress.stock import COUNT_STOCK, GET_STOCK, MOVE_STOCK, STOCK_REPORT
from ingress.unsubscribe import ASK_UNSUBSCRIBE, UNSUBSCRIBE
from ingress.visits import ARRIVAL, COMPLETION, NO_SHOW
from ingress.waitlist import JOIN, LEAVE
from ingress.webhook_changes import ENDPOINT_CHANGES
from ingress.webhook_deliveries import DELIVERIES
from ingress.webhook_endpoints import ENDPOINTS
from ingress.webhooks_page.page import WEBHOOKS_PAGE
from waiting_room.domain.booking_ref import RefSecrets
from waiting_room.settings import Settings
from waiting_room.supervise import supervise

log = structlog.get_logger(__name__)

OPERATIONS: Final = (
    BOOK,
    LIST,
    SEARCH,
    GET,
    CANCEL,
    RESCHEDULE,
    JOIN,
    LEAVE,
    ACCEPT,
    DECLINE,
    EVENTS,
    HISTORY,
    ARRIVAL,
    COMPLETION,
    NO_SHOW,
    LIST_CLINICS,
    GET_CLINIC,
    CLOSE,
    LIST_PROVIDERS,
    *PASSES,
    ASK_UNSUBSCRIBE,
    UNSUBSCRIBE,
    ERASE,
    PROVIDER_SLOTS,
    CLINIC_SLOTS,
    BUSINESS_SLOTS,
    GET_AVAILABILITY,
    PUT_AVAILABILITY,
    LIST_OVERRIDES,
    PUT_OVERRIDE,
    DELETE_OVERRIDE,
    LIST_BUSY,
    PUT_BUSY,
    PUT_ICS,
    PUT_ONE_BUSY,
    DELETE_ONE_BUSY,
    GET_BUSY_FEED,
    PUT_BUSY_FEED,
    DELETE_BUSY_FEED,
    MAKE_FEED,
    WITHDRAW_FEED,
    READ_FEED,
    STOCK_REPORT,
    GET_STOCK,
    COUNT_STOCK,
    MOVE_STOCK,
    *ENDPOINTS,
    *ENDPOINT_CHANGES,
    *DELIVERIES,
    EVENT_TYPES,
    HEALTHZ,
    READYZ,
    METRICS,
    PROBLEM,
)
"""In the order in which routes are tried: the busiest first."""

_DOCUMENT: Final = document(OPERATIONS)


async def openapi(parts: Parts, request: Request) -> Response:
    return json_answer(_DOCUMENT)


class Application(Starlette):
    """Takes bookings straight to their resource: middleware and routing would be a tenth of what one costs."""

    def __init__(self, lifespan: Lifespan[Any]) -> None:
        resources = _resources()
        self._busiest = resources[BOOK.path]
        routes = [Route(path, resource) for path, resource in resources.items()]
        super().__init__(routes=routes, exception_handlers={404: not_found}, lifespan=lifespan)
        self.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == BOOK.path:
            await self._busiest(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings, refs: RefSecrets, stopping: asyncio.Event) -> Application:
    """The application. ``stopping`` ends streams: set it when the server stops taking connections."""

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[dict[str, Any]]:
        async with wired(settings, refs, stopping) as parts, running(parts):
            yield {"parts": parts}

    return Application(lifespan)


def _resources() -> dict[str, Resource]:
    by_path: dict[str, dict[str, ASGIApp]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation.endpoint
    by_path["/openapi.json"] = {"GET": answering(openapi)}
    by_path |= {path: {"GET": answering(handler)} for path, handler in (OPS | PASS_PAGE | WEBHOOKS_PAGE).items()}
    return {path: Resource(path, methods) for path, methods in by_path.items()}


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """Everything that runs beside requests, stopped after the last of them. If any of it dies, so does the process."""
    stop = asyncio.Event()
    supervised = asyncio.create_task(
        supervise(stop, parts.tasks, shutdown_seconds=parts.settings.shutdown_seconds), name="supervise"
    )

    def end_process(done: asyncio.Task[None]) -> None:
        if not stop.is_set():
            log.critical("stopping_because_a_task_died", error=str(done.exception()))
            signal.raise_signal(signal.SIGTERM)

    supervised.add_done_callback(end_process)
    try:
        yield
    finally:
        stop.set()
        await supervised
