"""One booking's trace, on everything real: from POST through both topics to the clinic's call and the webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.endpoint import Endpoint, listening, register
from tests.support.ingress import Caller, ingress, open_clinics, wish
from tests.support.log import everything_in, until
from tests.support.running import running
from tests.support.world import clinics, settings_for
from waiting_room.telemetry import tracing
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_CONFIRMATIONS
from workers.assemble import Role


@dataclass
class Outside:
    """A clinic that takes every booking, and a collector of spans, on one port; ``told``: the clinic's traceparents."""

    url: str = ""
    told: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    async def book(self, request: web.Request) -> web.Response:
        self.told.append(request.headers.get("traceparent", ""))
        body = await request.json()
        answer = {name: body[name] for name in ("booking_ref", "revision")}
        return web.json_response({**answer, "clinic_booking_id": "c-1"}, status=201)

    async def collect(self, request: web.Request) -> web.Response:
        for of_process in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            for scope in of_process.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response()


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    outside = Outside()
    app = web.Application()
    app.add_routes([web.post("/clinic/bookings", outside.book), web.post("/v1/traces", outside.collect)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    outside.url = f"http://{host}:{port}"
    yield outside
    await runner.cleanup()


async def test_one_trace_from_the_request_to_the_webhook(
    database: Database, fresh_kafka: Kafka, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    exporter = InMemorySpanExporter()
    tracing.start(SimpleSpanProcessor(exporter), "test", "worker", share=1.0)
    app_token = await open_clinics(fresh_kafka, database, clinics(1, endpoint=f"{outside.url}/clinic"))
    theirs = f"00-{'a' * 32}-{'b' * 16}-01"
    try:
        async with AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(listening(Endpoint("hook")))
            async with database.owner() as owner:
                await register(owner, endpoint, "clinic", "0001", ("booking.confirmed",))
            for role in (Role.HOLD, Role.CONFIRM, Role.RELAY, Role.WEBHOOKS):
                settings = settings_for(database, fresh_kafka, role, webhook_allow_networks="127.0.0.0/8")
                await stack.enter_async_context(running(role, settings))
            traced: dict[str, Any] = {"otlp_endpoint": f"{outside.url}/v1/traces", "trace_share": 1}
            base = await stack.enter_async_context(ingress(fresh_kafka, database, **traced))
            caller = await stack.enter_async_context(Caller(base, app_token))
            answer = await caller.book(str(uuid4()), wish(), headers={"traceparent": theirs})
            assert answer.status == 202
            ref = answer.body["booking_ref"]

            async def delivered() -> bool:
                return bool(endpoint.received and outside.spans)

            await until(delivered)
            records = [
                record
                for topic in (BOOKING_REQUESTS, CLINIC_CONFIRMATIONS)
                for record in await everything_in(fresh_kafka, topic)
                if ref.encode() in (record.value or b"")
            ]
    finally:
        tracing.stop()
    trace_id, first_id = tracing.ids_of(ref)
    [book] = [span for span in outside.spans if span.name == "book"]
    assert (int.from_bytes(book.trace_id), int.from_bytes(book.span_id)) == (trace_id, first_id)
    assert [link.trace_id.hex() for link in book.links] == ["a" * 32]
    spans = {span.name: span for span in exporter.get_finished_spans()}
    contexts = {name: span.context for name, span in spans.items()}
    assert {context.trace_id for context in contexts.values() if context} == {trace_id}
    assert spans.keys() == {"hold", "clinic call", "webhook"}
    parents = {name: span.parent.span_id for name, span in spans.items() if span.parent}
    hold, call = contexts["hold"], contexts["clinic call"]
    assert hold is not None
    assert call is not None
    assert parents == {"hold": first_id, "clinic call": hold.span_id, "webhook": first_id}
    carried = [dict(record.headers)["traceparent"].decode() for record in records]
    assert carried == [f"00-{trace_id:032x}-{each:016x}-01" for each in (first_id, hold.span_id)]
    assert outside.told == [f"00-{trace_id:032x}-{call.span_id:016x}-01"]
    assert dict(spans["clinic call"].attributes or {})["outcome"] == "booked"
