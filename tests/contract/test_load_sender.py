"""The load sender against small servers over real sockets."""

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadtest.arrivals import Constant, offsets
from loadtest.httpserver import Exchange, Handler, listening
from loadtest.measure import LedgerRow, SendResult
from loadtest.send import Request, send
from tests.support.measuring import undisturbed

REF = "000A-7K2M-Q8ZT-3WNC-H5VD"


def accept(exchange: Exchange) -> None:
    exchange.answer(202, json.dumps({"booking_ref": REF, "status": "pending"}).encode())


def requests() -> Iterator[Request]:
    for n in itertools.count():
        yield Request("POST", "/v1/appointments", {"Idempotency-Key": f"k{n}"}, b"{}", f"k{n}", "000A")


async def run(
    handler: Handler, rate: float, seconds: float, *, timeout_seconds: float = 5, max_connections: int = 2000
) -> tuple[SendResult, list[LedgerRow]]:
    rows: list[LedgerRow] = []
    async with listening(handler, 0) as port:
        result = await send(
            f"http://127.0.0.1:{port}",
            offsets(Constant(rate, seconds), seed=1),
            requests(),
            on_row=rows.append,
            timeout_seconds=timeout_seconds,
            max_connections=max_connections,
        )
    return result, rows


async def test_the_rate_is_held() -> None:
    async def measure() -> None:
        result, _ = await run(accept, rate=300, seconds=1)
        assert result.achieved_rate == pytest.approx(300, rel=0.1)

    await undisturbed(measure)


async def test_every_request_is_in_the_ledger() -> None:
    result, rows = await run(accept, rate=300, seconds=1, timeout_seconds=60)
    assert (result.requests, result.statuses, result.errors) == (300, {202: 300}, {})
    assert Counter(row.idempotency_key for row in rows) == Counter(f"k{n}" for n in range(300))
    in_order = sorted(rows, key=lambda row: int(row.idempotency_key[1:]))
    gaps = [(b.due_at - a.due_at).total_seconds() for a, b in itertools.pairwise(in_order)]
    assert gaps == pytest.approx([1 / 300] * 299, abs=1e-4)
    for row in rows:
        assert (row.booking_ref, row.clinic_id, row.error) == (REF, "000A", None)
        assert row.sent_at is not None
        assert row.answered_at is not None
        assert row.due_at <= row.sent_at <= row.answered_at
    assert msgspec.json.decode(msgspec.json.encode(rows[0]), type=LedgerRow) == rows[0]


class Stall:
    """Answers nothing for a while from its first request on, then everything."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: list[Exchange] | None = []

    def __call__(self, exchange: Exchange) -> None:
        if self._held is None:
            accept(exchange)
            return
        if not self._held:
            asyncio.get_running_loop().call_later(self._seconds, self._recover)
        self._held.append(exchange)

    def _recover(self) -> None:
        held, self._held = self._held or [], None
        for exchange in held:
            accept(exchange)


@pytest.mark.parametrize("max_connections", [2000, 4])
async def test_a_stall_is_charged_from_the_due_time_whatever_the_connections(max_connections: int) -> None:
    """Half the requests fall due in the stall, and wait for what is left of it: half of it in the median."""

    async def measure() -> None:
        result, rows = await run(Stall(0.5), rate=200, seconds=1, max_connections=max_connections)
        assert result.statuses == {202: 200}
        assert result.achieved_rate == pytest.approx(200, rel=0.1), "the arrivals do not wait for the answers"
        assert result.latency_ms is not None
        assert result.latency_ms.max == pytest.approx(500, rel=0.2)
        assert 150 <= result.latency_ms.p90 <= 480
        assert sum(1 for row in rows if row.answered_at and (row.answered_at - row.due_at).total_seconds() > 0.25) > 40
        assert result.connections <= max_connections
        assert (result.starved > 0) == (max_connections == 4)
        assert result.lateness_ms is not None
        assert result.lateness_ms.p90 < 100, "waiting for the server is not the sender's own lateness"

    await undisturbed(measure)


async def test_what_is_never_answered_ends_at_its_timeout() -> None:
    result, rows = await run(lambda exchange: None, rate=50, seconds=0.2, timeout_seconds=0.3)
    assert (result.statuses, result.errors) == ({}, {"timeout": 10})
    assert result.latency_ms is not None
    assert result.latency_ms.p50 >= 300
    assert all(row.sent_at is not None and row.answered_at is None for row in rows)


async def test_requests_that_wait_for_a_connection_time_out_too() -> None:
    result, rows = await run(lambda exchange: None, rate=50, seconds=0.2, timeout_seconds=0.3, max_connections=2)
    assert result.errors == {"timeout": 10}
    assert any(row.sent_at is None for row in rows)


async def test_a_dropped_connection_and_a_closed_port_are_told_apart() -> None:
    result, _ = await run(Exchange.cut, rate=50, seconds=0.2)
    assert result.errors == {"disconnected": 10}
    async with listening(accept, 0) as port:
        pass
    result = await send(f"http://127.0.0.1:{port}", offsets(Constant(50, 0.2), 1), requests())
    assert (result.errors, result.statuses) == ({"connect": 10}, {})


async def test_a_bound_pool_recovers_from_dropped_connections() -> None:
    turns = itertools.cycle([Exchange.cut, accept])
    result, _ = await run(lambda exchange: next(turns)(exchange), rate=100, seconds=0.4, max_connections=1)
    assert result.statuses == {202: 20}
    assert result.errors == {"disconnected": 20}


async def test_refusals_tell_when_to_retry_and_what_became_of_the_command() -> None:
    answers: list[Handler] = [
        lambda e: e.answer(429, b'{"title":"full"}', headers=[(b"Retry-After", b"7")]),
        lambda e: e.answer(503, json.dumps({"booking_ref": REF, "outcome": "unknown"}).encode()),
        lambda e: e.answer(502, b"<html>bad gateway</html>"),
    ]
    turns = itertools.cycle(answers)
    result, rows = await run(lambda exchange: next(turns)(exchange), rate=50, seconds=0.06)
    assert result.statuses == {429: 1, 502: 1, 503: 1}
    by_status = {row.status: row for row in rows}
    assert (by_status[429].retry_after, by_status[429].booking_ref) == (7, None)
    assert (by_status[503].booking_ref, by_status[503].outcome) == (REF, "unknown")
    assert by_status[502].booking_ref is None


async def test_who_is_told_to_come_back_comes_back_then_and_with_the_same_key() -> None:
    tries: Counter[bytes] = Counter()

    def second_time_lucky(exchange: Exchange) -> None:
        key = exchange.headers[b"idempotency-key"]
        tries[key] += 1
        if tries[key] < 2:
            exchange.answer(429, b"{}", headers=[(b"Retry-After", b"1")])
        else:
            accept(exchange)

    rows: list[LedgerRow] = []
    async with listening(second_time_lucky, 0) as port:
        result = await send(
            f"http://127.0.0.1:{port}",
            [0.0, 0.1, 0.9],
            requests(),
            on_row=rows.append,
            again=lambda row: row.retry_after,
        )
    assert result.statuses == {202: 3, 429: 3}
    assert set(tries.values()) == {2}
    refused = {row.idempotency_key: row for row in rows if row.status == 429}
    for row in rows:
        if row.status == 202:
            told = refused[row.idempotency_key].answered_at
            assert told is not None
            assert (row.due_at - told).total_seconds() == pytest.approx(1.0, abs=1e-3)


async def test_the_run_ends_with_its_requests_and_with_what_its_parts_raise() -> None:
    def broken() -> Iterator[Request]:
        yield next(requests())
        raise LookupError("no more patients")

    def full(row: LedgerRow) -> None:
        raise OSError("disk full")

    async with listening(accept, 0) as port:
        url = f"http://127.0.0.1:{port}"
        few = await send(url, [0.0, 0.01, 0.02], itertools.islice(requests(), 2))
        assert few.statuses == {202: 2}
        with pytest.raises(LookupError, match="patients"):
            await send(url, [0.0, 0.01], broken())
        with pytest.raises(OSError, match="disk full"):
            await send(url, [0.0, 0.01], requests(), on_row=full)
    with pytest.raises(ValueError, match="http://"):
        await send("https://example.com", [], requests())


async def test_the_command_reads_a_plan_and_prints_its_result(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def note(exchange: Exchange) -> None:
        seen[exchange.headers[b"authorization"].decode()] += 1
        if seen.total() == 1:
            exchange.answer(503, b"{}", headers=[(b"Retry-After", b"1")])
        else:
            accept(exchange)

    stack = {"clinics": [{"id": "000A", "provider_ids": ["p1"], "service_types": ["flu"], "name": "A"}]}
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    async with listening(note, 0) as port:
        plan = {
            "url": f"http://127.0.0.1:{port}",
            "app_key": "secret",
            "clinics": str(tmp_path / "stack.json"),
            "profile": {"type": "poisson", "rate": 100, "seconds": 0.5},
            "repeat_share": 0.1,
            "returns": 1,
        }
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest", "send", str(tmp_path / "plan.json")),
            *("--ledger", str(tmp_path / "ledger.jsonl")),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    result = msgspec.json.decode(printed, type=SendResult)
    ledger = (tmp_path / "ledger.jsonl").read_bytes()
    rows = [msgspec.json.decode(line, type=LedgerRow) for line in ledger.splitlines()]
    assert process.returncode == 0
    assert result.statuses == {202: len(rows) - 1, 503: 1}
    assert dict(seen) == {"Bearer secret": len(rows)}
    assert len({row.idempotency_key for row in rows}) < len(rows)


async def test_a_plan_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    plan = {"url": "http://127.0.0.1:1", "app_key": "k", "clinics": "none.json", "rate": 5}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "send", str(tmp_path / "plan.json")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"give either rate and seconds, or a profile" in complaint
