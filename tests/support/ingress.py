"""``python -m ingress`` as a process of its own, what it needs to know, and callers of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from devstack.ports import free_port
from devstack.processes import Process
from tests.stack import READY_SECONDS, Kafka, server_folder
from tests.support import topics
from tests.support.commands import APP
from tests.support.database import Database, clone
from tests.support.world import (
    MASTER_KEY,
    PARTITIONS,
    PATIENT_SECRET,
    SERVICE,
    ClinicSpec,
    seed,
    settings_for,
    tomorrow,
)
from waiting_room.access import SCOPES_OF, OwnerKind, Scope, Token, hash_of, make_token
from waiting_room.announcements import publish
from waiting_room.kafka import Producer
from waiting_room.messages import AccessKey, DirectoryEntry
from waiting_room.store import directory

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://127.0.0.1:9/nowhere"


def key_for(owner_kind: OwnerKind, owner_id: str, *scopes: Scope, **changes: Any) -> tuple[Token, AccessKey]:
    """A key with these scopes, or all that its owner may have."""
    token = make_token()
    values: dict[str, Any] = {
        "key_id": token.key_id,
        "owner_kind": owner_kind,
        "owner_id": owner_id,
        "secret_hash": hash_of(token.secret),
        "scopes": scopes or SCOPES_OF[owner_kind],
    }
    return token, AccessKey(**{**values, **changes})


async def announce(kafka: Kafka, records: Sequence[DirectoryEntry | AccessKey]) -> None:
    """Write clinics and keys where every ingress reads them."""
    producer = Producer(settings_for(None, kafka, "announcer"))
    await producer.start()
    try:
        await publish(producer, records)
    finally:
        await producer.stop()


async def open_clinics(kafka: Kafka, database: Database, specs: Sequence[ClinicSpec]) -> Token:
    """Seed these clinics and announce them with a key of APP, which is returned."""
    async with database.owner() as connection:
        await seed(connection, specs)
        clinics = await directory.load(connection)
    token, key = key_for(OwnerKind.APP, APP)
    await announce(kafka, [*(DirectoryEntry(clinic=clinic) for clinic in clinics), key])
    return token


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def problem(self) -> str:
        """The name of the problem it tells of."""
        return str(self.body["type"]).removeprefix("/problems/")


@dataclass
class Caller:
    """Somebody with a key, or without; ``base`` is the ingress they talk to."""

    base: str
    token: Token | str | None
    session: aiohttp.ClientSession = field(init=False)

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(self.base, timeout=aiohttp.ClientTimeout(total=40))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def call(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        own = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(method, path, headers={**own, **(headers or {})}, **more) as response:
            is_json = "json" in response.headers.get("Content-Type", "")
            body = await response.json(content_type=None) if is_json else await response.text()
            return Answer(response.status, response.headers, body)

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.call("GET", path, **more)

    async def search(self, patient_id: str, path: str = "/v1/appointments/search", **more: Any) -> Answer:
        """The app's bookings for this patient; ``path``: or `next` of the page before."""
        return await self.call("POST", path, json={"patient_id": patient_id}, **more)

    async def book(
        self, key: str, body: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.call(
            "POST", "/v1/appointments", json=body or wish(), headers={"Idempotency-Key": key, **(headers or {})}
        )

    async def cancel(self, ref: str, key: str) -> Answer:
        return await self.call("DELETE", f"/v1/appointments/{ref}", headers={"Idempotency-Key": key})

    async def reschedule(self, ref: str, key: str, **body: Any) -> Answer:
        path = f"/v1/appointments/{ref}/reschedule"
        return await self.call("PATCH", path, json=body, headers={"Idempotency-Key": key})


class Newcomer(Caller):
    """Somebody with a key that is announced only now; ingress knows it on entry."""

    def __init__(self, kafka: Kafka, base: str, owner_kind: OwnerKind, owner_id: str, *scopes: Scope) -> None:
        token, self.key = key_for(owner_kind, owner_id, *scopes)
        super().__init__(base, token)
        self._kafka = kafka

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await announce(self._kafka, [self.key])
        while (await self.get("/v1/clinics")).status == 401:
            await asyncio.sleep(0.05)
        return self


def wish(provider_id: str | None = "0001-1", **changes: Any) -> dict[str, Any]:
    """The body of a booking that is possible, tomorrow at nine; a change to None leaves the field out."""
    body = {
        "provider_id": provider_id,
        "service_type": SERVICE,
        "patient": {"id": "patient-1"},
        "start_at": tomorrow(),
        **changes,
    }
    told = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in body.items()}
    return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Stage:
    """Empty topics, a database and clinics; nobody at work yet."""

    kafka: Kafka
    database: Database
    token: Token


@asynccontextmanager
async def staged(kafka: Kafka, template: Database, specs: Sequence[ClinicSpec]) -> AsyncIterator[Stage]:
    """A stage of its own for one test module."""
    await topics.recreate(kafka)
    async with clone(template) as database:
        yield Stage(kafka, database, await open_clinics(kafka, database, specs))


@asynccontextmanager
async def ingress(
    kafka: Kafka, database: Database | None, *, ready: bool = True, **settings: Any
) -> AsyncIterator[str]:
    """An ingress process; its address. Without a database there is none where it looks. ``ready``: wait for that."""
    async with ingress_process(kafka, database, ready=ready, **settings) as (base, _):
        yield base


@asynccontextmanager
async def ingress_process(
    kafka: Kafka, database: Database | None, *, ready: bool = True, **settings: Any
) -> AsyncIterator[tuple[str, Process]]:
    """The same with the process, to be hurt."""
    port = settings.get("ingress_port") or free_port()
    values = {
        "kafka_bootstrap": kafka.bootstrap_servers,
        "kafka_clinic_partitions": PARTITIONS,
        "postgres_dsn": database.dsn("ingress") if database else NOWHERE,
        "ref_secret": "a test's secret for booking refs!",
        "master_key": MASTER_KEY,
        "patient_secret": PATIENT_SECRET,
        "ingress_port": port,
        "worker_id": f"ingress-{port}",
        "shutdown_seconds": 2,
        "rate_patient_per_minute": 1_000_000,  # most tests know one patient only
        **settings,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WAITING_ROOM_")}
    base = f"http://127.0.0.1:{port}"
    process = Process(
        "ingress",
        [sys.executable, "-m", "ingress"],
        log_file=server_folder("ingress") / "ingress.log",
        env={
            **clean,
            **{f"WAITING_ROOM_{name.upper()}": str(v) for name, v in values.items() if v is not None},
        },
        cwd=ROOT,
        ready_url=f"{base}{'/readyz' if ready else '/healthz'}",
        ready_timeout_seconds=READY_SECONDS,
    )
    await process.start()
    try:
        yield base, process
        assert process.running, process.log_tail()
        assert "Traceback" not in process.log_file.read_text(), process.log_tail()
    finally:
        await process.stop()
