"""A whole small stack while a clinic moves: two ingresses, callers who never stop, every worker, clinics on sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from devstack.processes import Process
from tests.stack import Kafka
from tests.support.commands import APP
from tests.support.confirming import Site, sites
from tests.support.database import Database
from tests.support.ingress import Caller, announce, ingress_process, key_for, wish
from tests.support.log import everything_in, until
from tests.support.running import running
from tests.support.world import settings_for, tomorrow
from waiting_room.access import OwnerKind
from waiting_room.audit.run import Sources, audit
from waiting_room.messages import DirectoryEntry
from waiting_room.store import directory
from waiting_room.topics import BOOKING_EVENTS, BOOKING_REQUESTS
from workers.assemble import Role
from workers.hold.read import Item, Marker, item_of

PAUSE_SECONDS = 0.1


@dataclass
class Flow:
    """Somebody who books at one clinic through one ingress, one booking after the other, and cancels some of them."""

    caller: Caller
    other: Caller
    site: Site
    ledger: list[dict[str, Any]]
    accepted: list[str] = field(default_factory=list)
    """In the order of their 202s."""
    cancelled: list[str] = field(default_factory=list)
    """Through the same ingress."""
    refused: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            ref = await self.book()
            if len(self.accepted) % 4 == 0:
                await self._until_202(self.caller, ref)
                self.cancelled.append(ref)
            elif len(self.accepted) % 8 == 3:
                await self._until_202(self.other, ref)
            await asyncio.sleep(PAUSE_SECONDS)

    async def book(self) -> str:
        """The ref, once it is accepted; as long as it is not, the same is asked for again."""
        key = str(uuid4())
        times = {"from": tomorrow(0).isoformat(), "to": (tomorrow(0) + timedelta(days=20)).isoformat()}
        while True:
            asked = wish(self.site.spec.provider_id, start_at=None, range=times, patient={"id": f"patient-{key}"})
            answer = await self.caller.book(key, asked)
            told = {"status": answer.status, **{name: answer.body.get(name) for name in ("booking_ref", "outcome")}}
            self.ledger.append({"idempotency_key": key, "clinic_id": self.site.spec.clinic_id, **told})
            if answer.status == 202:
                self.accepted.append(answer.body["booking_ref"])
                return self.accepted[-1]
            assert answer.status == 503, answer
            self.refused += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _until_202(self, caller: Caller, ref: str) -> None:
        key = str(uuid4())
        while (await caller.cancel(ref, key)).status != 202:
            await asyncio.sleep(PAUSE_SECONDS)


@dataclass
class Flowing:
    """``sites``: the clinic that moves (in partition 1) and its neighbour-to-be (in partition 2)."""

    database: Database
    kafka: Kafka
    owner: asyncpg.Connection[asyncpg.Record]
    sites: list[Site]
    callers: list[Caller]
    processes: list[Process]
    ledger: list[dict[str, Any]] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)

    @property
    def clinic_id(self) -> str:
        return self.sites[0].spec.clinic_id

    @asynccontextmanager
    async def bookings(self) -> AsyncIterator[None]:
        """Callers at work at every clinic and ingress meanwhile."""
        one, two = self.callers
        stop = asyncio.Event()
        flows = [
            Flow(caller, other, site, self.ledger) for site in self.sites for caller, other in ((one, two), (two, one))
        ]
        self.flows += flows
        running = [asyncio.create_task(flow.run(stop)) for flow in flows]
        try:
            await self.some_more(5)
            yield
            await self.some_more(5)
        finally:
            stop.set()
            await asyncio.gather(*running)

    async def some_more(self, count: int) -> None:
        """Until every caller who is at work had so many more accepted."""
        flows = self.flows[-2 * len(self.sites) :]
        before = [len(flow.accepted) for flow in flows]

        async def enough() -> bool:
            return all(len(flow.accepted) >= had + count for flow, had in zip(flows, before, strict=True))

        await until(enough, 60)

    async def moved(self, column: str = "started_at", map_version: int = 2) -> bool:
        """Whether the clinic's move has come that far."""
        row = await self.owner.fetchrow("SELECT * FROM clinic_moves WHERE map_version = $1", map_version)
        return row is not None and row[column] is not None

    async def at_rest(self) -> None:
        """Until everything accepted is decided, done at its clinic and published."""
        accepted = [ref for flow in self.flows for ref in flow.accepted]

        async def nothing_waits() -> bool:
            return bool(
                await self.owner.fetchval(
                    """
                    SELECT
                        (SELECT count(*) FROM appointments WHERE booking_ref = any($1)) = cardinality($1)
                        AND NOT EXISTS (SELECT FROM appointments
                            WHERE status = 'pending' OR clinic_state NOT IN ('none', 'booked'))
                        AND NOT EXISTS (SELECT FROM clinic_counters AS c INNER JOIN relay_cursors AS r USING (clinic_id)
                            WHERE c.last_seq > r.published_seq)
                    """,
                    accepted,
                )
            )

        await until(nothing_waits, 60)

    async def check(self, folder: Path) -> None:
        """Nothing lost, nothing doubled, nothing out of order; by the audit, and by what callers saw."""
        await self.at_rest()
        await self._audit_is_clean(folder)
        tickets = {row["booking_ref"]: row["ticket"] for row in await self.owner.fetch("SELECT * FROM appointments")}
        for flow in self.flows:
            given = [tickets[ref] for ref in flow.accepted if tickets[ref] is not None]
            assert given == sorted(given), "tickets in the order in which an ingress accepted"
            assert all(tickets[ref] is not None for ref in flow.cancelled), "a cancel came before its booking"
        await self._check_events()

    async def commands(self) -> dict[int, list[Item]]:
        """By partition what counts of the moving clinic's part of the log, markers among it."""
        found: dict[int, list[Item]] = {}
        for record in await everything_in(self.kafka, BOOKING_REQUESTS):
            item = item_of(record)
            if item is not None and item.clinic_id == self.clinic_id:
                found.setdefault(record.partition, []).append(item)
        return found

    async def _audit_is_clean(self, folder: Path) -> None:
        ledger = folder / "ledger.jsonl"
        ledger.write_text("".join(f"{json.dumps(line)}\n" for line in self.ledger))
        endpoint = self.sites[0].spec.endpoint or ""
        sources = Sources(ledger=str(ledger), clinic_records=f"{endpoint.partition('/clinics/')[0]}/_sim/records")
        connection = await asyncpg.connect(self.database.dsn("audit"))
        try:
            settings = settings_for(self.database, self.kafka, "audit")
            verdict = await audit(connection, settings, sources, settled=True)
        finally:
            await connection.close()
        assert verdict.clean, "\n".join(verdict.lines())

    async def _check_events(self) -> None:
        """Each clinic's in one partition, in order, whatever became of the clinic's own."""
        seqs: dict[tuple[str, int], list[int]] = {}
        for record in await everything_in(self.kafka, BOOKING_EVENTS):
            seqs.setdefault((record.key.decode(), record.partition), []).append(json.loads(record.value)["seq"])
        assert len(seqs) == len(self.sites)
        for numbers in seqs.values():
            assert list(dict.fromkeys(numbers)) == list(range(1, max(numbers) + 1))


def stragglers(items: Sequence[Item]) -> list[Item]:
    """Commands behind the last marker of a partition that its clinic has left."""
    last = max(at for at, item in enumerate(items) if isinstance(item, Marker))
    return [item for item in items[last:] if not isinstance(item, Marker)]


@asynccontextmanager
async def flowing(
    database: Database, kafka: Kafka, *, hold: bool = True, settings: Mapping[str, Any] | None = None
) -> AsyncIterator[Flowing]:
    """The stack at work, nobody booking yet. ``hold``: two workers of it, else none."""
    async with AsyncExitStack() as stack:
        behaviour = {"capacity": 8}
        made = await stack.enter_async_context(
            sites(database, kafka, 2, behaviour=behaviour, concurrency=8, capacity=4)
        )
        owner = await stack.enter_async_context(database.owner())
        await owner.execute("INSERT INTO apps VALUES ($1, 'App')", APP)
        token, key = key_for(OwnerKind.APP, APP)
        entries = [DirectoryEntry(clinic=clinic) for clinic in await directory.load(owner)]
        await announce(kafka, [*entries, key])
        roles = [Role.RELAY, Role.CONFIRM, Role.CONFIRM, *([Role.HOLD] * 2 if hold else [])]
        for number, role in enumerate(roles):
            values = {"worker_id": f"{role}-{number}", "clinic_call_seconds": 2.0, "clinic_lease_seconds": 4.0}
            await stack.enter_async_context(running(role, settings_for(database, kafka, role, **values)))
        pairs = [await stack.enter_async_context(ingress_process(kafka, database, **(settings or {}))) for _ in "ab"]
        callers = [await stack.enter_async_context(Caller(base, token)) for base, _ in pairs]
        yield Flowing(database, kafka, owner, made, callers, [process for _, process in pairs])
