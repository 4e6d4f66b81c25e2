"""One trace a booking, from POST through both topics to the clinic call and the webhook. Off unless ``otlp_endpoint``.

A booking's trace id, and the id of its first span, are derived from its booking_ref. So whoever has the ref knows its
trace: relay and webhooks, which come by way of a database row, and whoever reads a log line. Records carry the W3C
trace context (``traceparent``) all the same, so that each step hangs below the one that caused it. A caller's own
context is linked to, not continued: its trace is not ours to lengthen by days.

Nothing of OpenTelemetry is imported while traces are off. Attributes hold no patient data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from waiting_room.domain.booking_ref import clinic_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanProcessor  # type: ignore[attr-defined]
    from opentelemetry.trace import Span, Tracer

    from waiting_room.settings import Settings

TRACEPARENT: Final = "traceparent"
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
Headers = Sequence[tuple[str, bytes]]
Attributes = Mapping[str, str | int | float | bool]


class _Ids(NamedTuple):
    """Of the span that is begun next."""

    trace_id: int
    span_id: int


_next_ids: ContextVar[_Ids | None] = ContextVar("next_ids", default=None)
_current: ContextVar[Span | None] = ContextVar("current_span", default=None)
_tracer: Tracer | None = None
_NO_SPAN: Final = nullcontext(None)


def configure(settings: Settings, role: str) -> None:
    """Send this process's spans to ``otlp_endpoint``; without one, nothing is traced."""
    if not settings.otlp_endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint)
    start(BatchSpanProcessor(exporter), role, settings.worker_id, settings.trace_share)


def start(processor: SpanProcessor, role: str, worker_id: str, share: float) -> None:
    """Trace this ``share`` of all bookings: the same ones in every process."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    class Derived(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            ids = _next_ids.get()
            return ids.trace_id if ids else super().generate_trace_id()

        def generate_span_id(self) -> int:
            ids = _next_ids.get()
            return ids.span_id if ids else super().generate_span_id()

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)),
        resource=Resource.create(
            {"service.name": "waiting-room", "service.instance.id": worker_id, "waiting_room.role": role}
        ),
        id_generator=Derived(),
    )
    provider.add_span_processor(processor)
    global _tracer
    _tracer = provider.get_tracer("waiting_room")


def stop() -> None:
    """Trace nothing any more."""
    global _tracer
    _tracer = None


def on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def ids_of(booking_ref: str) -> _Ids:
    """The trace of a booking, and its first span."""
    digest = sha256(b"waiting-room trace " + booking_ref.encode()).digest()
    return _Ids(int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1)


def trace_id_of(booking_ref: str) -> str:
    """As trace stores show it: 32 hexadecimal digits."""
    return f"{ids_of(booking_ref).trace_id:032x}"


def first_span(name: str, booking_ref: str, caller: str | None = None) -> AbstractContextManager[Span | None]:
    """The span that all others of this booking hang below. ``caller``: the traceparent of its request."""
    return _NO_SPAN if _tracer is None else _first_span(_tracer, name, booking_ref, caller)


@contextmanager
def _first_span(tracer: Tracer, name: str, booking_ref: str, caller: str | None) -> Iterator[Span]:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind

    theirs = _context_in(caller)
    token = _next_ids.set(ids_of(booking_ref))
    try:
        span = tracer.start_span(
            name,
            context=Context(),
            kind=SpanKind.SERVER,
            links=[Link(theirs)] if theirs else [],
            attributes=_attributes(booking_ref),
        )
    finally:
        _next_ids.reset(token)
    with _ended(span):
        yield span


@contextmanager
def span(
    name: str, booking_ref: str, headers: Headers = (), *, outgoing: bool = False, began_at: datetime | None = None
) -> Iterator[Span | None]:
    """A step of a booking, below the one whose context ``headers`` of a record hold, else below its first span.

    ``outgoing``: somebody else's system is called; ``began_at``: when what is over already began.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

    made = _tracer.start_span(
        name,
        context=set_span_in_context(NonRecordingSpan(_parent(booking_ref, headers))),
        kind=SpanKind.CLIENT if outgoing else SpanKind.CONSUMER,
        start_time=None if began_at is None else int(began_at.timestamp() * 1e9),
        attributes=_attributes(booking_ref),
    )
    token = _current.set(made)
    try:
        with _ended(made):
            yield made
    finally:
        _current.reset(token)


def say(span: Span | None, **attributes: str | int | float | None) -> None:
    """What became of it; what is None is left out."""
    if span is not None:
        span.set_attributes({name: value for name, value in attributes.items() if value is not None})


def outgoing_headers() -> dict[str, str]:
    """For a request to somebody else's system that the step under way makes."""
    return {name: value.decode() for name, value in context_of(_current.get())}


def context_of(span: Span | None) -> list[tuple[str, bytes]]:
    """Headers for a record that this span causes; none while traces are off or the booking is not traced."""
    if span is None or not span.get_span_context().trace_flags.sampled:
        return []
    return [(TRACEPARENT, traceparent(span).encode())]


def traceparent(span: Span) -> str:
    """W3C Trace Context, level 1, which knows one flag: sampled."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags.sampled):02x}"


def exemplar(booking_ref: str) -> dict[str, str] | None:
    """What a histogram keeps beside an observation, so that a point leads to a trace."""
    if _tracer is None or not _sampled(ids_of(booking_ref).trace_id):
        return None
    return {"trace_id": trace_id_of(booking_ref)}


def name_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog: lines that name a booking name its clinic too and, while traces are on, its trace."""
    if isinstance(ref := event.get("booking_ref"), str):
        event.setdefault("clinic_id", clinic_of(ref))
        if _tracer is not None:
            event["trace_id"] = trace_id_of(ref)
    return event


def _sampled(trace_id: int) -> bool:
    from opentelemetry.sdk.trace import Tracer as SdkTracer

    assert isinstance(_tracer, SdkTracer)
    return bool(_tracer.sampler.should_sample(None, trace_id, "").decision.is_sampled())  # type: ignore[no-untyped-call]


def _parent(booking_ref: str, headers: Headers) -> Any:
    """Of a record's own context only what is in this booking's trace: who writes records may err."""
    from opentelemetry.trace import SpanContext, TraceFlags

    trace_id, first = ids_of(booking_ref)
    for name, value in headers:
        context = _context_in(value.decode(errors="replace")) if name == TRACEPARENT else None
        if context is not None and context.trace_id == trace_id:
            return context
    flags = TraceFlags(TraceFlags.SAMPLED if _sampled(trace_id) else TraceFlags.DEFAULT)
    return SpanContext(trace_id, first, is_remote=True, trace_flags=flags)


def _context_in(text: str | None) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    found = _TRACEPARENT.fullmatch(text or "")
    if found is None:
        return None
    context = SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(0x01))
    return context if context.is_valid else None


@contextmanager
def _ended(span: Span) -> Iterator[None]:
    """An error ends the span as one: its type only, since a message may hold anything."""
    from opentelemetry.trace import StatusCode

    try:
        yield
    except BaseException as error:
        span.set_status(StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        span.end()


def _attributes(booking_ref: str) -> Attributes:
    return {"booking_ref": booking_ref, "clinic_id": clinic_of(booking_ref)}
