"""A booking's trace: derived from its ref, continued by records' headers, silent while off, without patient data."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.unit.test_layout import sources
from waiting_room.telemetry import metrics, tracing
from waiting_room.telemetry.exposition import page

REF = "0001ABCDEFGHJKMNPQRS"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start(SimpleSpanProcessor(exporter), "test", "worker", share=1.0)
    yield exporter
    tracing.stop()


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    """(trace, span, parent)"""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else None


def test_each_step_hangs_below_the_one_that_caused_it(spans: InMemorySpanExporter) -> None:
    with tracing.first_span("book", REF) as first:
        request = tracing.context_of(first)
    with tracing.span("hold", REF, request) as hold:
        doorbell = tracing.context_of(hold)
    with tracing.span("clinic call", REF, doorbell, outgoing=True):
        told = tracing.outgoing_headers()
    with tracing.span("webhook", REF, outgoing=True):
        pass
    assert tracing.outgoing_headers() == {}
    book_, hold_, call, webhook = map(ids, spans.get_finished_spans())
    trace_id, first_id = tracing.ids_of(REF)
    assert {each[0] for each in (book_, hold_, call, webhook)} == {trace_id}
    assert book_[1:] == (first_id, None)
    assert request == [("traceparent", f"00-{tracing.trace_id_of(REF)}-{first_id:016x}-01".encode())]
    assert hold_[2] == first_id
    assert call[2] == hold_[1]
    assert webhook[2] == first_id, "it comes by a row, which holds no context"
    assert told == {"traceparent": f"00-{tracing.trace_id_of(REF)}-{call[1]:016x}-01"}
    attributes = {name for span in spans.get_finished_spans() for name in span.attributes or {}}
    assert attributes == {"booking_ref", "clinic_id"}


def test_a_callers_trace_is_linked_to_and_not_continued(spans: InMemorySpanExporter) -> None:
    theirs = f"00-{'a' * 32}-{'b' * 16}-01"
    with tracing.first_span("book", REF, theirs), tracing.first_span("book", "0002", "00-nonsense"):
        pass
    other, linked = spans.get_finished_spans()
    assert [f"{link.context.trace_id:x}" for link in linked.links] == ["a" * 32]
    assert ids(linked)[0] == tracing.ids_of(REF).trace_id
    assert not other.links


@pytest.mark.parametrize(
    "header", [b"", b"\xff", b"00-zz-1-01", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", b"00-" + b"0" * 49 + b"-01"]
)
def test_a_header_of_another_trace_is_not_believed(spans: InMemorySpanExporter, header: bytes) -> None:
    with tracing.span("hold", REF, [("traceparent", header)]):
        pass
    [span] = spans.get_finished_spans()
    assert (ids(span)[0], ids(span)[2]) == tracing.ids_of(REF)


def test_an_error_ends_a_span_by_its_type_alone(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="patient"), tracing.span("hold", REF):
        raise ValueError("patient Jane Doe")
    [span] = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
    assert not span.events


def test_a_span_may_have_begun_earlier(spans: InMemorySpanExporter) -> None:
    appended_at = datetime.now(UTC) - timedelta(seconds=3)
    with tracing.span("hold", REF, began_at=appended_at) as span:
        tracing.say(span, status="pending", stage=None)
    [span_] = spans.get_finished_spans()
    assert span_.start_time == int(appended_at.timestamp() * 1e9)
    assert dict(span_.attributes or {}).get("status") == "pending"


def test_a_share_of_the_bookings_is_traced_the_same_ones_everywhere() -> None:
    exporter = InMemorySpanExporter()
    tracing.start(SimpleSpanProcessor(exporter), "test", "worker", share=0.2)
    try:
        refs = [f"0001{number:016d}" for number in range(500)]
        for ref in refs:
            with tracing.first_span("book", ref) as span:
                headers = tracing.context_of(span)
            with tracing.span("hold", ref, headers), tracing.span("webhook", ref):
                pass
            assert (tracing.exemplar(ref) is not None) == bool(headers)
        traced = [ids(span)[0] for span in exporter.get_finished_spans()]
    finally:
        tracing.stop()
    assert 60 < len(set(traced)) < 140
    assert len(traced) == 3 * len(set(traced)), "all of a booking or nothing"


def test_a_log_line_that_names_a_booking_names_its_trace(spans: InMemorySpanExporter) -> None:
    line = tracing.name_trace(None, "info", {"event": "clinic_call", "booking_ref": REF})
    assert (line["trace_id"], line["clinic_id"]) == (tracing.trace_id_of(REF), "0001")
    assert tracing.name_trace(None, "info", {"event": "started"}) == {"event": "started"}


def test_a_point_of_a_histogram_leads_to_a_trace_where_that_can_be_told(spans: InMemorySpanExporter) -> None:
    metrics.CONFIRM_WAIT.observe(0.3, tracing.exemplar(REF))
    text, content_type = page(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert f'# {{trace_id="{tracing.trace_id_of(REF)}"}}'.encode() in text
    assert b"# {" not in page("text/plain")[0]


def observed(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """(name in metrics.py, call) of each observation that a file makes, also by a name of its own."""
    tree = ast.parse(path.read_text())
    meant = {
        target.id: ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "observe":
            on = ast.unparse(call.func.value)
            yield from ((name, call) for name in re.findall(r"metrics\.([A-Z_]+)", meant.get(on, on)))


def test_every_wait_is_told_with_its_trace() -> None:
    """But for the outbox's, which is relay's and no booking's."""
    waits = {"HOLD_WAIT", "CONFIRM_WAIT", "DECIDE_SECONDS", "WEBHOOK_DELAY", "REMINDER_DELAY", "NOTIFICATION_DELAY"}
    told = [each for path in sources("waiting_room", "workers", "ingress") for each in observed(path)]
    assert {name for name, _ in told} > waits
    assert not [(name, call.lineno) for name, call in told if name in waits and len(call.args) != 2]


def test_off_it_does_nothing_and_costs_no_import() -> None:
    with tracing.first_span("book", REF) as first, tracing.span("hold", REF) as hold:
        assert first is hold is None
        assert tracing.context_of(first) == []
        assert tracing.outgoing_headers() == {}
    tracing.say(None, status="held")
    assert tracing.exemplar(REF) is None
    assert tracing.name_trace(None, "info", {"booking_ref": REF}) == {"booking_ref": REF, "clinic_id": "0001"}
    assert page(OPENMETRICS)[1].startswith("text/plain")
    code = "import sys, ingress.__main__, workers.__main__, workers.confirm.worker; "
    code += "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
