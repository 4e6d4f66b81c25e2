"""A small world with one booking of every kind, written by the code that writes them, for the audit to look at.

One log in Kafka, and two databases filled from it: ``busy``, in which things are still under way and hold has not
read the last command, and ``resting``, in which everything has been decided and delivered.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.stack import Kafka
from tests.support.commands import APP, IN_TIME, book, cancel
from tests.support.database import Database, clone
from tests.support.holding import DEADLINES
from tests.support.patients import WHOM
from tests.support.stocked import consuming, counted, lot
from tests.support.world import PARTITIONS, ClinicSpec, seed, settings_for, tomorrow
from waiting_room.audit.log import HOLD_GROUP
from waiting_room.audit.run import Sources
from waiting_room.domain.appointment import PUBLIC_EVENTS, By, EventType, Reason
from waiting_room.kafka import Producer
from waiting_room.messages import Book, Cancel, encode
from waiting_room.store import webhooks
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.batch import Batch
from workers.hold.read import Appended, command_of

REST, OTHER, BUILTIN, STOCKED, WAITED = (
    ClinicSpec("0001", endpoint="http://clinic.example/1", partition=1, capacity=2),
    ClinicSpec("0002", endpoint="http://clinic.example/2", partition=2),
    ClinicSpec("0003", partition=3),
    ClinicSpec("0004", partition=3),
    ClinicSpec("0005", partition=3),
)
VACCINATION = "vaccination"
"""What takes a dose, at STOCKED only: as many are there as are booked, but for one that is missed afterwards."""
LAST = "last"
"""The booking hold has not come to in the busy world."""
COURSES: dict[str, tuple[EventType, ...]] = {
    "confirmed": (EventType.CALLING, EventType.CONFIRMED),
    "elsewhere": (EventType.CALLING, EventType.CONFIRMED),
    "cancelled": (EventType.CANCELLED,),
    "withdrawn": (EventType.CALLING, EventType.CONFIRMED, EventType.CANCELLED, EventType.WITHDRAWN),
    "withdrawing": (EventType.CALLING, EventType.CONFIRMED, EventType.CANCELLED),
    "unknown": (EventType.CALLING, EventType.OUTCOME_UNKNOWN),
    "calling": (EventType.CALLING,),
    "held": (),
    "vaccinated": (EventType.ARRIVED, EventType.COMPLETED),
    "freed": (EventType.CANCELLED,),
    "absent": (EventType.NO_SHOW,),
    "given up": (EventType.CANCELLED,),
}
"""What has happened after hold in the busy world, by name; the resting one goes on from there."""
WAITING = ("kept", "given up", "wants another", "asked")
"""At WAITED: two who have a time, and two who wait for it; one of them was offered what was given up."""
DOSED = ("dosed", "vaccinated", "freed", "absent", "short")
ENDINGS: dict[str, tuple[EventType, ...]] = {
    "withdrawing": (EventType.WITHDRAWN,),
    "unknown": (EventType.CONFIRMED,),
    "calling": (EventType.CONFIRMED,),
    "held": (EventType.REJECTED,),
    LAST: (EventType.CALLING, EventType.NOT_BOOKED, EventType.CALLING, EventType.CONFIRMED),
}


def _commands() -> dict[str, Book | Cancel]:
    """In the order of the log. Starts are an hour apart, but for those who want a seat that is taken."""
    now = datetime.now(UTC)
    in_time, too_late = now + IN_TIME, now - timedelta(seconds=1)
    starts = iter(tomorrow(hour) for hour in range(1, 23))

    def wish(
        spec: ClinicSpec, key: str, start_at: datetime | None = None, accept_by: datetime = in_time, **changes: Any
    ) -> Book:
        return book(spec, key, start_at=start_at or next(starts), accept_by=accept_by, **changes)

    confirmed = wish(REST, "confirmed")
    return {
        "confirmed": confirmed,
        **{name: wish(REST, name) for name in COURSES if name not in ("confirmed", "elsewhere", *DOSED, *WAITING)},
        "beside": wish(REST, "beside", confirmed.start_at),
        "refused": wish(REST, "refused", confirmed.start_at),
        "elsewhere": wish(OTHER, "elsewhere"),
        "again": wish(OTHER, "confirmed"),  # the key that "confirmed" was booked with
        "builtin": wish(BUILTIN, "builtin"),
        "late": wish(REST, "late", accept_by=too_late),
        **{
            name: wish(STOCKED, name, tomorrow(9 + number), service_type=VACCINATION)
            for number, name in enumerate(DOSED)
        },
        **{
            name: wish(WAITED, name, tomorrow(9 + number % 2), or_wait=number > 1)
            for number, name in enumerate(WAITING)
        },
        "repeated": confirmed,
        "never": cancel(wish(OTHER, "never"), accept_by=in_time),
        LAST: wish(OTHER, LAST),
    }


@dataclass
class World:
    """``refs`` by name; what others recorded as the lines of their files, to be falsified at will."""

    database: Database
    kafka: Kafka
    commands: dict[str, Book | Cancel]
    ledger: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    received: list[dict[str, Any]]

    @property
    def refs(self) -> dict[str, str]:
        return {name: command.booking_ref for name, command in self.commands.items()}

    def sources(self, folder: Path) -> Sources:
        paths = []
        for name, lines in (("ledger", self.ledger), ("kept", self.kept), ("received", self.received)):
            path = folder / f"{name}.jsonl"
            path.write_text("".join(f"{json.dumps(line, default=str)}\n" for line in lines))
            paths.append(str(path))
        return Sources(*paths)


@dataclass
class Worlds:
    """Templates: ``copy`` one to plant something in it."""

    busy: World
    resting: World

    @asynccontextmanager
    async def copy(self, *, resting: bool, database: bool) -> AsyncIterator[World]:
        """One to falsify; ``database``: its database too, which takes a moment."""
        world = self.resting if resting else self.busy
        lines = [[*map(dict, each)] for each in (world.ledger, world.kept, world.received)]
        if not database:
            yield World(world.database, world.kafka, world.commands, *lines)
            return
        async with clone(world.database) as copied:
            yield World(copied, world.kafka, world.commands, *lines)


@asynccontextmanager
async def worlds(template: Database, kafka: Kafka) -> AsyncIterator[Worlds]:
    """Needs topics that are new and empty."""
    commands = _commands()
    refs = {name: command.booking_ref for name, command in commands.items()}
    await _append(kafka, list(commands.values()))
    items = await _read(kafka)
    async with clone(template) as busy, clone(template) as resting:
        async with busy.owner() as owner:
            last = next(item for item in items if item.command.booking_ref == refs[LAST])
            await _hold(owner, [item for item in items if item is not last])
            await _go_on(owner, refs, COURSES)
            await _recount(owner)
            await _deliver(owner, all_but=2)
        async with resting.owner() as owner:
            await _hold(owner, items)
            await _go_on(owner, refs, COURSES)
            await _go_on(owner, refs, {**ENDINGS, "beside": ENDINGS[LAST]})
            await _recount(owner)
            await _deliver(owner, all_but=0)
            await owner.execute("UPDATE webhook_deliveries SET state = 'delivered', delivered_at = now()")
            await owner.execute(
                "UPDATE relay_cursors r SET published_seq = last_seq FROM clinic_counters c "
                "WHERE c.clinic_id = r.clinic_id"
            )
        yield Worlds(await _world(busy, kafka, commands), await _world(resting, kafka, commands))


async def _append(kafka: Kafka, commands: list[Book | Cancel]) -> None:
    producer = Producer(settings_for(None, kafka))
    await producer.start()
    partitions = {spec.clinic_id: spec.partition for spec in (REST, OTHER, BUILTIN, STOCKED, WAITED)}
    for command in commands:
        where = BOOKING_REQUESTS, partitions[command.clinic_id]
        await (await producer.send(*where, command.clinic_id, encode(command)))
    await producer.stop()


async def _read(kafka: Kafka) -> list[Appended]:
    """What counts of the log, read and committed as hold does."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=HOLD_GROUP, enable_auto_commit=False
    )
    await consumer.start()
    partitions = [TopicPartition(BOOKING_REQUESTS, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends = await consumer.end_offsets(partitions)
    records = []
    while any([await consumer.position(where) < ends[where] for where in partitions]):
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            records.extend(batch)
    await consumer.commit(ends)
    await consumer.stop()
    items = [item for item in map(command_of, records) if item is not None]
    return sorted(items, key=lambda item: item.appended_at)  # whoever asks first with a key has the booking


async def _hold(owner: asyncpg.Connection[asyncpg.Record], items: list[Appended]) -> None:
    await seed(owner, [REST, OTHER, BUILTIN, STOCKED, WAITED])
    await consuming(owner, service=VACCINATION)
    await owner.execute(
        "UPDATE providers SET service_types = $1 WHERE clinic_id = $2", [VACCINATION], STOCKED.clinic_id
    )
    await counted(owner, STOCKED, lot("a", len(DOSED)))
    await owner.execute("INSERT INTO apps VALUES ($1, 'App')", APP)
    await owner.executemany(
        "INSERT INTO webhook_endpoints (endpoint_id, owner_kind, owner_id, url, events) "
        "VALUES ($1, $2, $3, 'http://a.example', $4)",
        [
            ("of-clinic", "clinic", REST.clinic_id, ["booking.confirmed", "booking.cancelled"]),
            ("of-app", "app", APP, ["booking.confirmed"]),
        ],
    )
    async with owner.transaction():
        await Batch(owner, {}, DEADLINES, WHOM).work(items)


async def _recount(owner: Connection) -> None:
    """One is left for the two who are still to come."""
    await counted(owner, STOCKED, lot("a", 1))


async def _go_on(owner: Connection, refs: dict[str, str], courses: dict[str, tuple[EventType, ...]]) -> None:
    for name, events in courses.items():
        key = refs[name][:4], refs[name]
        async with owner.transaction():
            journal = await Journal.open(owner, [key[0]])
            booking = (await journal.load([key]))[key]
            for event in events:
                reason = {EventType.CANCELLED: Reason.PATIENT, EventType.REJECTED: Reason.CLINIC_UNAVAILABLE}.get(event)
                journal.record(booking, event, reason=reason, by=By.PATIENT if reason is Reason.PATIENT else None)
                if event is EventType.CONFIRMED:
                    booking.clinic_booking_id = f"at-clinic-{name}"
            await journal.write()


async def _deliver(owner: Connection, all_but: int) -> None:
    rows = await owner.fetch(
        "SELECT clinic_id, seq FROM appointment_events WHERE event = any($1) ORDER BY clinic_id = $2, clinic_id, seq",
        sorted(PUBLIC_EVENTS),
        BUILTIN.clinic_id,  # last: somebody asks for its last events
    )
    await webhooks.enlist(owner, [webhooks.Notice(*row) for row in rows[: len(rows) - all_but]])


async def _world(database: Database, kafka: Kafka, commands: dict[str, Book | Cancel]) -> World:
    async with database.owner() as owner:
        rows = await owner.fetch("SELECT * FROM appointments WHERE clinic_booking_id IS NOT NULL ORDER BY booking_ref")
        deliveries = await owner.fetch(
            "SELECT d.*, (SELECT count(*) FROM appointment_events e WHERE e.booking_ref = d.booking_ref "
            "AND e.seq <= d.seq AND e.event = any($1)) AS number FROM webhook_deliveries d WHERE state = 'delivered'",
            sorted(PUBLIC_EVENTS),
        )
    kept = [
        {
            "clinic_id": row["clinic_id"],
            "booking_ref": row["booking_ref"],
            "revision": row["revision"],
            "clinic_booking_id": row["clinic_booking_id"],
            "accepted_at": row["decided_at"],
            "withdrawn_at": None
            if row["status"] == "confirmed" or row["clinic_state"] != "none"
            else row["decided_at"],
            "times_accepted": 1,
        }
        for row in rows
        if row["clinic_id"] != BUILTIN.clinic_id
    ]
    received = [
        {
            "endpoint_id": row["endpoint_id"],
            "webhook_id": "any",
            "type": row["event"],
            "booking_ref": row["booking_ref"],
            "sequence": row["seq"],
            "booking_sequence": row["number"],
            "verified": True,
        }
        for row in deliveries
    ]
    told = {"confirmed": 201, "refused": 409, "late": None, "never": None}
    ledger = [
        {
            "idempotency_key": "confirmed" if name in ("again", "repeated") else name,
            "clinic_id": ref[:4],
            "status": told.get(name, 202),
            "booking_ref": ref if told.get(name, 202) else None,
            "outcome": None,
        }
        for name, ref in ((name, command.booking_ref) for name, command in commands.items())
    ]
    return World(database, kafka, commands, ledger, kept, received)
