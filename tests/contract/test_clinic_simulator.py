"""The simulated clinics over real sockets: each behaviour as a caller meets it, and the record an audit reads."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from loadtest.clinics.behaviour import ClinicBehaviour, Outage, Spec
from loadtest.clinics.books import Record
from loadtest.clinics.journal import forget
from loadtest.clinics.server import Simulator
from loadtest.httpserver import listening

REF = "000A-7K2M-Q8ZT-3WNC-H5VD"
BODY: dict[str, Any] = {
    "booking_ref": REF,
    "revision": 1,
    "provider_id": "p1",
    "seat": 0,
    "service_type": "flu",
    "start_at": "2026-11-23T09:00:00Z",
    "end_at": "2026-11-23T09:15:00Z",
    "patient": {"id": "x", "locale": "de"},
}


class Caller:
    """What a `rest` adapter sends to clinic 000A."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self.session = session
        self.origin = origin
        self.base = f"{origin}/clinics/000A/bookings"

    async def book(self, ref: str = REF, revision: int = 1, timeout: float = 60) -> tuple[int, dict[str, Any]]:
        return await self._call(
            "POST",
            self.base,
            headers={"Idempotency-Key": f"{ref}:{revision}"},
            json=BODY | {"booking_ref": ref, "revision": revision},
            timeout=aiohttp.ClientTimeout(timeout),
        )

    async def look_up(self, ref: str = REF) -> tuple[int, dict[str, Any]]:
        return await self._call("GET", f"{self.base}/{ref}")

    async def withdraw(self, ref: str = REF, revision: int = 1) -> tuple[int, dict[str, Any]]:
        key = {"Idempotency-Key": f"{ref}:{revision}:withdraw"}
        return await self._call("DELETE", f"{self.base}/{ref}", headers=key)

    async def records(self) -> list[Record]:
        async with self.session.get(f"{self.origin}/_sim/records?clinic=000A") as response:
            return [msgspec.json.decode(line, type=Record) for line in (await response.read()).splitlines()]

    async def stats(self) -> dict[str, Any]:
        async with self.session.get(f"{self.origin}/_sim/stats") as response:
            stats: dict[str, Any] = (await response.json())["clinics"]["000A"]
            return stats

    async def change(self, **fields: object) -> tuple[int, dict[str, Any]]:
        return await self._call("PATCH", f"{self.origin}/_sim/clinics/000A", json=fields)

    async def _call(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.request(method, url, **more) as response:
            text = await response.text()
            retry_after = response.headers.get("Retry-After")
            body = json.loads(text) if text else {}
            return response.status, body | ({"retry_after": retry_after} if retry_after else {})


@asynccontextmanager
async def clinic(**fields: Any) -> AsyncIterator[Caller]:
    """Clinic 000A, quick unless told otherwise, and its caller."""
    quick: dict[str, Any] = {"latency_mean": 0.02, "latency_min": 0.01, "latency_max": 0.1}
    simulator = Simulator(Spec({"000A": ClinicBehaviour(**(quick | fields))}), 1, forget)
    async with listening(simulator.handle, 0) as port, aiohttp.ClientSession() as session:
        yield Caller(session, f"http://127.0.0.1:{port}")


async def eventually(holds: Callable[[dict[str, Any]], bool], caller: Caller) -> dict[str, Any]:
    """The stats, once they fulfil the condition; fails after a minute."""
    async with asyncio.timeout(60):
        while not holds(stats := await caller.stats()):
            await asyncio.sleep(0.01)
    return stats


@asynccontextmanager
async def given_up(caller: Caller) -> AsyncIterator[None]:
    """A call that the clinic is at work on during the block, and that its caller gives up at its end."""
    booking = asyncio.create_task(caller.book())
    try:
        await eventually(lambda stats: stats["in_flight"] == 1, caller)
        yield
    finally:
        booking.cancel()
        await asyncio.wait([booking])
    assert booking.cancelled()


async def test_a_booking_its_repeat_look_up_move_and_withdrawal() -> None:
    async with clinic() as caller:
        booked = {"clinic_booking_id": "000A-1", "booking_ref": REF, "revision": 1}
        assert await caller.look_up() == (404, {"type": "about:blank", "status": 404, "reason": "unknown_booking"})
        assert await caller.book() == (201, booked)
        assert await caller.book() == (200, booked)
        assert await caller.look_up() == (200, booked | {"status": "booked"})
        assert await caller.book(revision=2) == (201, booked | {"clinic_booking_id": "000A-2", "revision": 2})
        assert (await caller.book(revision=1)) == (200, booked)
        assert (await caller.look_up())[1]["revision"] == 2
        assert await caller.withdraw(revision=2) == (204, {})
        assert await caller.withdraw(revision=2) == (204, {})
        assert (await caller.look_up())[1]["status"] == "withdrawn"
        assert (await caller.withdraw("000A-2222-2222-2222-2222"))[0] == 404
        old, new = await caller.records()
        assert (old.revision, old.times_accepted, old.effective_bookings) == (1, 1, 0)
        assert (new.revision, new.times_accepted, new.effective_bookings) == (2, 1, 0)
        assert new.withdrawn_at is not None
        assert new.accepted_at < new.withdrawn_at


async def test_latency_is_the_clinics_own() -> None:
    async with clinic(latency_mean=0.3, latency_sigma=0.0, latency_max=1) as caller:
        begun = time.monotonic()
        await caller.book()
        seconds = time.monotonic() - begun
        assert seconds >= 0.29
        stats = await caller.stats()
        assert stats["mean_latency_seconds"] == pytest.approx(0.3)
        assert 0.29 <= stats["busy_seconds"] <= seconds


async def test_no_idempotency_makes_duplicates_that_the_records_show() -> None:
    async with clinic(idempotency=False) as caller:
        statuses = [(await caller.book())[0] for _ in range(2)]
        assert statuses == [201, 201]
        assert [r.times_accepted for r in await caller.records()] == [2]


async def test_a_key_that_does_not_match_the_call_is_refused() -> None:
    async with clinic() as caller, caller.session.post(caller.base, json=BODY) as response:
        assert response.status == 400
    async with clinic() as caller, caller.session.post(caller.base, data=b"{") as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"


async def test_refusals_and_errors_do_nothing() -> None:
    async with clinic(refuse_rate=1.0, refuse_reason="closed") as caller:
        status, problem = await caller.book()
        assert (status, problem["reason"]) == (409, "closed")
        assert await caller.records() == []
    async with clinic(error_rate=1.0) as caller:
        assert (await caller.book())[0] == 500
        assert await caller.records() == []


async def test_overload_rejects_and_says_when_to_come_back() -> None:
    steady = {"latency_mean": 0.5, "latency_sigma": 0.0, "latency_max": 1}
    async with clinic(capacity=2, overload_status=429, retry_after=3, **steady) as caller:
        answers = await asyncio.gather(*(caller.book(f"000A-{n}") for n in range(5)))
        assert sorted(status for status, _ in answers) == [201, 201, 429, 429, 429]
        assert {problem["retry_after"] for status, problem in answers if status == 429} == {"3"}
        assert len(await caller.records()) == 2
        stats = await caller.stats()
        assert (stats["max_in_flight"], stats["fates"]["overloaded"]) == (2, 3)


async def test_overload_slows() -> None:
    async with clinic(capacity=1, overload="slow", latency_mean=0.1, latency_sigma=0.0) as caller:
        begun = time.monotonic()
        answers = await asyncio.gather(*(caller.book(f"000A-{n}") for n in range(4)))
        assert [status for status, _ in answers] == [201] * 4
        assert time.monotonic() - begun >= 0.39


async def test_a_hung_call_is_never_answered_nor_carried_out() -> None:
    async with clinic(hang_rate=1.0) as caller:
        async with given_up(caller):
            await asyncio.sleep(0.2)
        stats = await eventually(lambda s: s["in_flight"] == 0, caller)
        assert stats["fates"]["hung"] == 1
        assert stats["open_seconds"] >= 0.15
        assert await caller.records() == []


async def test_a_dropped_call_is_booked_without_an_answer() -> None:
    async with clinic(drop_rate=1.0) as caller:
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.book()
        assert [r.booking_ref for r in await caller.records()] == [REF]
        await caller.change(drop_rate=0)
        assert (await caller.look_up())[1]["status"] == "booked"


async def test_a_late_call_is_booked_after_the_caller_gave_up() -> None:
    async with clinic(late_rate=1.0, late_after=1.5) as caller:
        async with given_up(caller):
            assert await caller.records() == []
        assert (await caller.stats())["in_flight"] == 1, "the clinic is still at work"
        await eventually(lambda s: s["bookings_made"] == 1, caller)


async def test_an_admitted_call_is_carried_out_though_its_caller_left() -> None:
    async with clinic(latency_mean=1.0, latency_sigma=0.0, latency_max=1) as caller:
        async with given_up(caller):
            assert await caller.records() == []
        await eventually(lambda s: s["bookings_made"] == 1, caller)


async def test_outages_by_schedule() -> None:
    async with clinic(outages=(Outage(0, 3.0, "503"),), retry_after=1) as caller:
        status, problem = await caller.book()
        assert (status, problem["reason"], problem["retry_after"]) == (503, "down", "1")
        await eventually(lambda s: s["outage"] is None, caller)
        assert (await caller.book())[0] == 201


async def test_outages_by_hand() -> None:
    async with clinic() as caller:
        assert (await caller.change(down="refuse_connection"))[0] == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.book()
        await caller.change(down="hang")
        with pytest.raises(TimeoutError):
            await caller.book(timeout=0.1)
        status, behaviour = await caller.change(down=None)
        assert (status, behaviour["down"]) == (200, None)
        assert (await caller.book())[0] == 201
        assert (await caller.change(sulk=True))[0] == 422


async def test_a_clinic_without_look_up_says_so() -> None:
    async with clinic(lookup=False) as caller:
        await caller.book()
        assert (await caller.look_up())[0] == 501


async def test_an_instant_clinic_keeps_a_connection_busy() -> None:
    async with clinic(instant=True) as caller:
        statuses = [(await caller.book(f"000A-{n}"))[0] for n in range(50)]
        assert statuses == [201] * 50


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    async with clinic() as caller:
        port = int(caller.origin.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /clinics/000A/bookings/{REF} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = await reader.read()
        assert answers.startswith(b"HTTP/1.1 404")
        assert answers.endswith(b'{"status":"ok"}')
        writer.close()
        await writer.wait_closed()


def start(spec: Path, records: Path) -> tuple[subprocess.Popen[bytes], str]:
    command = [sys.executable, "-m", "loadtest", "clinics", "--spec", str(spec), "--record", str(records)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["listening"]


async def test_a_killed_simulator_remembers_what_it_answered(tmp_path: Path) -> None:
    spec, records = tmp_path / "spec.json", tmp_path / "records.jsonl"
    spec.write_text('{"clinics": {"000A": {"instant": true}}}')
    for expected_status, end in ((201, signal.SIGKILL), (200, signal.SIGTERM)):
        process, origin = start(spec, records)
        with process:
            try:
                async with aiohttp.ClientSession() as session:
                    status, body = await Caller(session, origin).book()
                    assert (status, body["clinic_booking_id"]) == (expected_status, "000A-1")
                    assert len(await Caller(session, origin).records()) == 1
            finally:
                process.send_signal(end)
    assert process.returncode == 0
    assert len(records.read_text().splitlines()) == 1
