"""A clinic to confirm with: simulated on a real socket, its bookings in a real database, doorbells on real Kafka."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from loadtest.clinics.behaviour import ClinicBehaviour, Spec
from loadtest.clinics.books import Record
from loadtest.clinics.clinic import Clinic
from loadtest.clinics.journal import forget
from loadtest.clinics.server import Simulator
from loadtest.httpserver import listening
from tests.stack import Kafka
from tests.support.database import Database
from tests.support.running import running
from tests.support.world import ClinicSpec, clinics, seed, settings_for
from tests.support.written import plant, plant_many
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.messages import Confirmation, encode
from waiting_room.settings import Settings
from waiting_room.store.journal import Booking, Journal
from waiting_room.topics import CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY
from workers.assemble import Role

QUICK: dict[str, Any] = {"latency_mean": 0.05, "latency_min": 0.02, "latency_max": 0.2}
WATCH_SECONDS = 0.02


class Door:
    """What all clinics of a simulator have to say waits in it while it is shut: calls are under way for as long as a
    test wants them to be, however quick or slow the machine is.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._call_later = simulator._call_later
        simulator._call_later = self._let_out_later
        self._free: float = math.inf
        self._waiting: deque[Callable[[], None]] = deque()

    def shut(self) -> None:
        self._free = 0

    def let_out(self, count: float = math.inf) -> None:
        """So many that wait, or come later; all of them unless told otherwise."""
        self._free += count
        while self._waiting and self._free:
            self._free -= 1
            self._waiting.popleft()()

    def _let_out_later(self, delay_seconds: float, callback: Callable[[], None]) -> None:
        def out() -> None:
            self._waiting.append(callback)
            self.let_out(0)

        self._call_later(delay_seconds, out)


class Site:
    """One clinic: what it was told, what we have of it, and the doorbell."""

    def __init__(
        self,
        database: Database,
        owner: asyncpg.Connection[asyncpg.Record],
        producer: AIOKafkaProducer,
        settings: Settings,
        spec: ClinicSpec,
        clinic: Clinic,
        door: Door,
    ) -> None:
        self.database, self.settings, self.spec, self.clinic, self.door = database, settings, spec, clinic, door
        self._owner, self._producer = owner, producer
        self._planted = 0

    async def hold(self, count: int = 1, *, ring: bool = True, **more: Any) -> list[Booking]:
        """New bookings, held with a seat each; ``more`` as for ``plant``."""
        bookings = []
        for _ in range(count):
            self._planted += 1
            bookings.append(await plant(self._owner, self.spec, self._planted, **more))
        if ring:
            await self.ring(*bookings)
        return bookings

    async def rush(self, count: int) -> list[Booking]:
        """As ``hold``, for a great many."""
        bookings = await plant_many(self._owner, self.spec, self._planted + 1, count)
        self._planted += count
        sent = [
            await self._producer.send(
                CLINIC_CONFIRMATIONS,
                _doorbell(booking),
                key=self.spec.clinic_id.encode(),
                partition=self.spec.partition,
            )
            for booking in bookings
        ]
        await asyncio.gather(*sent)
        return bookings

    async def ring(self, *bookings: Booking, priority: bool = False) -> None:
        """As hold and sweep do."""
        for booking in bookings:
            await self.append(_doorbell(booking), priority=priority)

    async def append(self, value: bytes | None, *, key: str | None = None, priority: bool = False) -> None:
        """Any record, in the clinic's partition."""
        topic = CLINIC_CONFIRMATIONS_PRIORITY if priority else CLINIC_CONFIRMATIONS
        await self._producer.send_and_wait(
            topic, value, key=(key or self.spec.clinic_id).encode(), partition=self.spec.partition
        )

    async def cancel(self, booking: Booking) -> None:
        """As hold does: the row first, then the doorbell if there is something to withdraw."""
        async with self._owner.transaction():
            journal = await Journal.open(self._owner, [booking.clinic_id])
            (found,) = (await journal.load([booking.key])).values()
            journal.record(found, EventType.CANCELLED, reason=Reason.PATIENT, by=By.PATIENT)
            await journal.write()
        if found.known_state.clinic_state == "withdrawing":
            await self.ring(found, priority=True)

    def change(self, **behaviour: object) -> None:
        """The clinic behaves differently from now on."""
        self.clinic.behaviour = self.clinic.behaviour.patched(behaviour)

    def records(self) -> dict[str, Record]:
        """What the clinic ever accepted, by ref."""
        return {record.booking_ref: record for record in self.clinic.books.records()}

    @property
    def calls(self) -> int:
        """That reached the clinic, look-ups and withdrawals included."""
        return self.clinic.stats(0).calls

    @property
    def in_flight(self) -> int:
        """Calls the clinic is at work on."""
        return self.clinic.stats(0).in_flight

    async def row(self, booking: Booking) -> asyncpg.Record:
        """The booking's row, with ``claims``: how many seats are kept for it."""
        row = await self._owner.fetchrow(
            """
            SELECT a.*, (SELECT count(*) FROM seat_claims AS s WHERE s.booking_ref = a.booking_ref) AS claims
            FROM appointments AS a WHERE a.booking_ref = $1
            """,
            booking.booking_ref,
        )
        assert row is not None
        return row

    async def state(self, booking: Booking) -> tuple[str, str]:
        """(status, clinic_state)"""
        row = await self.row(booking)
        return row["status"], row["clinic_state"]

    async def attempts(self, booking: Booking) -> list[tuple[str, str | None]]:
        """(kind, outcome) of every claimed call."""
        rows = await self._owner.fetch(
            "SELECT kind, outcome FROM call_attempts WHERE booking_ref = $1 ORDER BY attempt", booking.booking_ref
        )
        return [(row["kind"], row["outcome"]) for row in rows]

    async def until_state(self, status: str, clinic_state: str, *bookings: Booking, seconds: float = 60.0) -> None:
        """Until all of them are so; says how they are if they never become so."""
        seen: list[tuple[str, str]] = []

        async def all_so() -> bool:
            seen[:] = [await self.state(booking) for booking in bookings]
            return set(seen) == {(status, clinic_state)}

        try:
            await until(all_so, seconds)
        except TimeoutError:
            stuck = [booking for booking, state in zip(bookings, seen, strict=True) if state != (status, clinic_state)]
            rows = [dict(await self.row(booking)) for booking in stuck]
            columns = ("ticket", "status", "clinic_state", "attempts", "next_attempt_at", "lease_until", "parked_at")
            told = [{each: row[each] for each in columns if each in row} for row in rows]
            raise AssertionError(f"not {status}/{clinic_state}: {told}") from None


def _doorbell(booking: Booking) -> bytes:
    return encode(
        Confirmation(
            booking_ref=booking.booking_ref,
            clinic_id=booking.clinic_id,
            revision=1,
            ticket=booking.ticket or 0,
            held_at=booking.held_at or booking.accepted_at,
        )
    )


async def until(check: Callable[[], Awaitable[bool] | bool], seconds: float = 60.0) -> None:
    """Until ``check`` says yes. Raises TimeoutError, late: machines are slow, and only what fails waits so long."""
    async with asyncio.timeout(seconds):
        while True:
            found = check()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(WATCH_SECONDS)


@asynccontextmanager
async def sites(
    database: Database,
    kafka: Kafka,
    count: int = 1,
    *,
    behaviour: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **declared: Any,
) -> AsyncIterator[list[Site]]:
    """Clinics that all behave so (quick unless told otherwise) and declare so, not confirmed with yet."""
    character = ClinicBehaviour(**(QUICK | (behaviour or {})))
    specs = clinics(count)
    simulator = Simulator(Spec({spec.clinic_id: character for spec in specs}), 1, forget)
    door = Door(simulator)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
    values = {"clinic_call_seconds": 3.0, "clinic_lease_seconds": 4.5, "shutdown_seconds": 15.0} | (settings or {})
    async with listening(simulator.handle, 0) as port, database.owner() as owner:
        origin = f"http://127.0.0.1:{port}/clinics"
        specs = clinics(count, endpoint=origin, **({"settle_seconds": 0.5} | declared))
        specs = [ClinicSpec(**(vars(spec) | {"endpoint": f"{origin}/{spec.clinic_id}"})) for spec in specs]
        await seed(owner, specs)
        await producer.start()
        try:
            yield [
                Site(
                    database,
                    owner,
                    producer,
                    settings_for(database, kafka, "confirm", **values),
                    spec,
                    simulator.clinics[spec.clinic_id],
                    door,
                )
                for spec in specs
            ]
        finally:
            await producer.stop()


@asynccontextmanager
async def confirming(site: Site, **overrides: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A confirm worker that runs inside the block and is stopped orderly after it."""
    settings = site.settings.model_copy(update=overrides)
    async with running(Role.CONFIRM, settings) as task:
        yield task
