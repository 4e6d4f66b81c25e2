"""The contract of Gateway, held by the REST adapter against simulated clinics on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clinic_adapter.errors import (
    ClinicCannotLookUp,
    ClinicOutcomeUnknown,
    ClinicOverloaded,
    ClinicRefused,
    ClinicUnavailable,
    LeaseLost,
)
from clinic_adapter.factory import gateway_to
from clinic_adapter.gateway import Call, Gateway
from clinic_adapter.transport import open_transport
from loadtest.clinics.behaviour import ClinicBehaviour, Spec
from loadtest.clinics.books import Record
from loadtest.clinics.clinic import Clinic
from loadtest.clinics.journal import forget
from loadtest.clinics.server import Simulator
from loadtest.httpserver import listening
from waiting_room.domain.clinic_call import Booked, ClinicSystem, NotThere
from waiting_room.domain.directory import AdapterKind
from waiting_room.messages import Patient

REF = "000A-7K2M-Q8ZT-3WNC-H5VD"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)
CALL = Call(
    booking_ref=REF,
    revision=1,
    provider_id="000A-1",
    seat=0,
    service_type="flu",
    start_at=START,
    end_at=START + timedelta(minutes=15),
    patient=Patient(id="p-1", contact={"phone": "+49 1"}, locale="de"),
)


def yes() -> None:
    """A check that never forbids."""


@dataclass
class World:
    gateway: Gateway
    clinic: Clinic

    def held(self) -> list[Record]:
        return list(self.clinic.books.records())

    def change(self, **changes: object) -> None:
        self.clinic.behaviour = self.clinic.behaviour.patched(changes)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(call_seconds: float = 30.0, **behaviour: Any) -> AsyncIterator[World]:
    quick: dict[str, Any] = {"latency_mean": 0.02, "latency_min": 0.01, "latency_max": 0.1}
    simulator = Simulator(Spec({"000A": ClinicBehaviour(**(quick | behaviour))}), 1, forget)
    async with listening(simulator.handle, 0) as port, open_transport(calls_max=50, call_seconds=call_seconds) as http:
        system = ClinicSystem("000A", AdapterKind.REST, f"http://127.0.0.1:{port}/clinics/000A", 4, 1.0, True, True)
        yield World(gateway_to(system, http), simulator.clinics["000A"])


async def test_a_booking_is_made_found_and_withdrawn() -> None:
    async with world() as w:
        assert await w.gateway.look_up(REF, 1, yes) == NotThere()
        assert await w.gateway.confirm(CALL, yes) == Booked("000A-1")
        assert await w.gateway.look_up(REF, 1, yes) == Booked("000A-1")
        await w.gateway.withdraw(REF, 1, yes)
        assert await w.gateway.look_up(REF, 1, yes) == NotThere(final=True)
        (record,) = w.held()
        assert (record.provider_id, record.seat, record.start_at, record.effective_bookings) == ("000A-1", 0, START, 0)


async def test_the_same_ref_and_revision_twice_is_one_booking() -> None:
    async with world() as w:
        assert await w.gateway.confirm(CALL, yes) == await w.gateway.confirm(CALL, yes)
        assert [record.times_accepted for record in w.held()] == [1]


async def test_a_withdrawal_may_be_repeated_and_may_find_nothing() -> None:
    async with world() as w:
        await w.gateway.withdraw(REF, 1, yes)
        await w.gateway.confirm(CALL, yes)
        await w.gateway.withdraw(REF, 1, yes)
        await w.gateway.withdraw(REF, 1, yes)
        assert [record.effective_bookings for record in w.held()] == [0]


async def test_a_look_up_is_about_one_revision() -> None:
    async with world() as w:
        await w.gateway.confirm(replace(CALL, revision=2), yes)
        assert await w.gateway.look_up(REF, 3, yes) == NotThere(), "the clinic has not seen it yet"
        assert await w.gateway.look_up(REF, 2, yes) == Booked("000A-1")
        assert await w.gateway.look_up(REF, 1, yes) == NotThere(final=True), "a newer revision took its place"


async def test_a_refusal_is_final_and_gives_the_clinics_reason() -> None:
    async with world(refuse_rate=1.0, refuse_reason="closed") as w:
        with pytest.raises(ClinicRefused) as refusal:
            await w.gateway.confirm(CALL, yes)
        assert refusal.value.reason == "closed"


@pytest.mark.parametrize("status", [429, 503])
async def test_overload_did_nothing_and_says_when_to_come_back(status: int) -> None:
    steady = {"latency_mean": 0.5, "latency_sigma": 0.0, "latency_max": 1}
    async with world(capacity=1, overload_status=status, retry_after=3, **steady) as w:
        first = asyncio.create_task(w.gateway.confirm(CALL, yes))
        await w.until(lambda: w.clinic.stats(0).in_flight == 1)
        with pytest.raises(ClinicOverloaded) as overload:
            await w.gateway.confirm(replace(CALL, booking_ref="000A-0000-0000-0000-0000"), yes)
        assert overload.value.retry_after_seconds == 3
        await first
        assert [record.booking_ref for record in w.held()] == [REF]


async def test_an_error_leaves_a_booking_open_and_a_look_up_just_unanswered() -> None:
    async with world(error_rate=1.0) as w:
        with pytest.raises(ClinicOutcomeUnknown, match="status 500"):
            await w.gateway.confirm(CALL, yes)
        with pytest.raises(ClinicOutcomeUnknown):
            await w.gateway.withdraw(REF, 1, yes)
        with pytest.raises(ClinicUnavailable):
            await w.gateway.look_up(REF, 1, yes)


async def test_a_dropped_connection_leaves_it_open_and_the_look_up_tells() -> None:
    async with world(drop_rate=1.0) as w:
        with pytest.raises(ClinicOutcomeUnknown):
            await w.gateway.confirm(CALL, yes)
        w.change(drop_rate=0)
        assert await w.gateway.look_up(REF, 1, yes) == Booked("000A-1")


async def test_a_call_ends_at_its_deadline_and_may_still_be_booked_later() -> None:
    async with world(call_seconds=0.5, late_rate=1.0, late_after=2.0) as w:
        with pytest.raises(ClinicOutcomeUnknown):
            await w.gateway.confirm(CALL, yes)
        w.change(late_rate=0)
        assert await w.gateway.look_up(REF, 1, yes) == NotThere()
        await w.until(lambda: bool(w.held()))
        assert await w.gateway.look_up(REF, 1, yes) == Booked("000A-1")


async def test_a_clinic_that_is_not_there_did_nothing() -> None:
    async with open_transport(calls_max=1, call_seconds=2.0) as http:
        system = ClinicSystem("000A", AdapterKind.REST, "http://127.0.0.1:1/none", 4, 1.0, True, True)
        gateway = gateway_to(system, http)
        with pytest.raises(ClinicUnavailable):
            await gateway.confirm(CALL, yes)
        with pytest.raises(ClinicUnavailable):
            await gateway.look_up(REF, 1, yes)
        with pytest.raises(ClinicUnavailable):
            await gateway.withdraw(REF, 1, yes)


async def test_a_clinic_without_look_up_says_so() -> None:
    async with world(lookup=False) as w:
        with pytest.raises(ClinicCannotLookUp):
            await w.gateway.look_up(REF, 1, yes)


async def test_what_the_check_forbids_is_never_sent() -> None:
    async def attempts(gateway: Gateway) -> None:
        for call in (
            gateway.confirm(CALL, too_late),
            gateway.look_up(REF, 1, too_late),
            gateway.withdraw(REF, 1, too_late),
        ):
            with pytest.raises(LeaseLost):
                await call

    def too_late() -> None:
        raise LeaseLost

    async with world() as w:
        await attempts(w.gateway)
        await w.gateway.confirm(CALL, yes)  # now there is a connection to be used again
        await attempts(w.gateway)
        assert w.clinic.stats(0).calls == 1


async def test_the_check_runs_after_the_wait_for_a_connection() -> None:
    """With every connection taken a call waits; it is asked when it is about to leave, not when it was made."""
    now_allowed = True

    def check() -> None:
        if not now_allowed:
            raise LeaseLost

    simulator = Simulator(Spec({"000A": ClinicBehaviour(latency_mean=0.2, latency_sigma=0)}), 1, forget)
    async with listening(simulator.handle, 0) as port, open_transport(calls_max=1, call_seconds=5.0) as http:
        system = ClinicSystem("000A", AdapterKind.REST, f"http://127.0.0.1:{port}/clinics/000A", 4, 1.0, True, True)
        gateway = gateway_to(system, http)
        first = asyncio.create_task(gateway.confirm(CALL, yes))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(gateway.confirm(replace(CALL, booking_ref="000A-2222-2222-2222-2222"), check))
        await asyncio.sleep(0.05)
        now_allowed = False
        await first
        with pytest.raises(LeaseLost):
            await second
        assert simulator.clinics["000A"].stats(0).calls == 1


async def test_connections_are_kept_for_the_next_call() -> None:
    async with world() as w:
        for number in range(5):
            await w.gateway.confirm(replace(CALL, booking_ref=f"000A-0000-0000-0000-000{number}"), yes)
        assert len(w.held()) == 5
