"""Kafka frozen, killed, slow to acknowledge; PostgreSQL gone: what callers are told, and that it is the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from devstack.kafka_server import KafkaServer
from devstack.postgres_server import PostgresServer
from tests.stack import READY_SECONDS, Kafka, Postgres, server_folder
from tests.support.commands import APP, REFS
from tests.support.database import Database, template_for_tests
from tests.support.ingress import NOWHERE, Caller, Stage, ingress, staged, wish
from tests.support.log import everything_in
from tests.support.world import PARTITIONS, clinics, tomorrow
from waiting_room.messages import Book, Command, Reader
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.read import command_of

_read: Reader[Command] = Reader(Command)
AT_ONCE_SECONDS, ANSWER_WITHIN_SECONDS = 1.5, 4.0
"""1.8 s are promised to Kafka's part, 2 s to PostgreSQL's; the rest is for machines that are slow and busy. Without a
limit it would take 5 s, after which our clients of either give up.
"""


@dataclass
class Outage:
    server: KafkaServer
    stage: Stage
    app: Caller


@pytest.fixture(scope="module")
async def outage(server_folders: None, template: Database) -> AsyncIterator[Outage]:
    """A broker of its own, to be hurt."""
    server = KafkaServer(server_folder("kafka"), heap="256m", ready_timeout_seconds=READY_SECONDS)
    await server.start()
    try:
        kafka = Kafka(server.bootstrap_servers)
        async with (
            staged(kafka, template, clinics(PARTITIONS)) as stage,
            ingress(kafka, stage.database) as base,
            Caller(base, stage.token) as app,
        ):
            yield Outage(server, stage, app)
    finally:
        await server.stop()


@pytest.fixture(autouse=True)
async def recovered(outage: Outage) -> None:
    await until_accepting(outage.app)


async def until_accepting(app: Caller, seconds: float = 60) -> None:
    """Ingress comes back by itself."""
    async with asyncio.timeout(seconds):
        while (await app.get("/readyz")).status != 200:
            await asyncio.sleep(0.1)
        for number in range(1, PARTITIONS + 1):
            while (await app.book(str(uuid4()), wish(f"000{number}-1"))).status != 202:
                await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Told:
    """What one caller was told, and when."""

    ref: str
    key: str
    body: dict[str, Any]
    status: int
    outcome: str | None
    seconds: float
    retry_after: str | None


async def book(app: Caller, number: int) -> Told:
    key, clinic = str(uuid4()), f"000{number % PARTITIONS + 1}"
    body = wish(f"{clinic}-1", start_at=tomorrow(number % 23))
    started = time.monotonic()
    answer = await app.book(key, body)
    seconds = time.monotonic() - started
    ref = REFS.derive(clinic, APP, key)
    assert answer.body["booking_ref"] == ref
    return Told(ref, key, body, answer.status, answer.body.get("outcome"), seconds, answer.headers.get("Retry-After"))


async def book_for(app: Caller, seconds: float, per_second: int = 20) -> list[Told]:
    """Callers who come whether or not those before them were answered."""
    tasks = []
    for number in range(int(seconds * per_second)):
        tasks.append(asyncio.create_task(book(app, number)))
        await asyncio.sleep(1 / per_second)
    return await asyncio.gather(*tasks)


async def appended(outage: Outage) -> dict[str, list[bool]]:
    """By ref, for each of its records: whether it counts."""
    found: dict[str, list[bool]] = {}
    for record in await everything_in(outage.stage.kafka, BOOKING_REQUESTS):
        command = _read(record.value)
        if isinstance(command, Book):
            found.setdefault(command.booking_ref, []).append(command_of(record) is not None)
    return found


async def check_truth(outage: Outage, told: list[Told]) -> None:
    """Whoever was told 202 is in the log and counts; of ``none`` nothing is there; ``unknown`` may be either."""
    log = await appended(outage)
    for each in told:
        records = log.get(each.ref, [])
        match each.status, each.outcome:
            case 202, None:
                assert any(records), each
            case 503, "none":
                assert records == [], each
            case 503, "unknown":
                assert len(records) <= 1, each
            case _:
                pytest.fail(str(each))
        assert each.seconds < ANSWER_WITHIN_SECONDS, each
        assert each.status == 202 or each.retry_after, each


async def check_retries(outage: Outage, told: list[Told]) -> None:
    """Everybody repeats their request with the same key: all are accepted, none counts twice for hold."""
    for each in told:
        if each.status != 202:
            again = await outage.app.book(each.key, each.body)
            assert (again.status, again.body["booking_ref"]) == (202, each.ref)
    log = await appended(outage)
    assert all(True in log[each.ref] for each in told)


async def test_a_frozen_broker(outage: Outage) -> None:
    before = await book_for(outage.app, 0.5)
    outage.server.freeze()
    try:
        during = await book_for(outage.app, 4)
        assert (await outage.app.get("/readyz")).status == 503
    finally:
        outage.server.thaw()
    assert {each.status for each in during} == {503}
    outcomes = [each.outcome for each in during]
    assert "unknown" in outcomes
    assert outcomes[-1] == "none"
    assert min(each.seconds for each in during[-10:]) < AT_ONCE_SECONDS, "a pause of the machine meets not all of them"
    await until_accepting(outage.app)
    await check_truth(outage, [*before, *during])
    late = [records for records in (await appended(outage)).values() if False in records]
    assert late, "what was handed over before the freeze is written after it, and must be recognised"
    await check_retries(outage, [*before, *during])


async def test_a_killed_broker(outage: Outage) -> None:
    before = await book_for(outage.app, 0.5)
    await outage.server.kill()
    during = await book_for(outage.app, 4)
    assert not [each for each in during if each.status == 202]
    assert during[-1].outcome == "none"
    await outage.server.start()
    await until_accepting(outage.app)
    await check_truth(outage, [*before, *during])
    await check_retries(outage, [*before, *during])


async def test_an_ingress_that_starts_without_kafka_refuses_and_then_serves(outage: Outage) -> None:
    kafka, database = outage.stage.kafka, outage.stage.database
    await outage.server.kill()
    async with ingress(kafka, database, ready=False) as base, Caller(base, outage.stage.token) as app:
        refused = await app.book(str(uuid4()))
        assert (refused.status, refused.body["outcome"]) == (503, "none")
        assert (await app.get("/readyz")).status == 503
        assert (await app.get("/healthz")).status == 200
        await outage.server.start()
        await until_accepting(app)


async def test_without_postgres_bookings_are_accepted_and_reads_say_so(outage: Outage) -> None:
    """From an ingress that has never seen a database."""
    async with (
        ingress(outage.stage.kafka, None, postgres_dsn=NOWHERE) as base,
        Caller(base, outage.stage.token) as app,
    ):
        booked = await app.book(str(uuid4()))
        assert booked.status == 202
        ref = booked.body["booking_ref"]
        assert (await app.cancel(ref, str(uuid4()))).status == 202
        for path in ("", "/history", "/events"):
            read = await app.get(f"/v1/appointments/{ref}{path}")
            assert read.status == 503
            assert read.body["type"] == "/problems/reads-away"
            assert read.headers["Retry-After"]
        assert (await app.search("patient-1")).status == 503
        assert (await app.get("/v1/clinics")).status == 200
        assert (await app.book(str(uuid4()), headers={"Prefer": "wait=1"})).status == 202


async def test_postgres_frozen_killed_and_back(outage: Outage, server_folders: None) -> None:
    """Reads say 503 within two seconds and come back by themselves; bookings never notice."""
    postgres = PostgresServer(server_folder("postgres"), ready_timeout_seconds=READY_SECONDS)
    await postgres.start()
    try:
        async with (
            template_for_tests(Postgres(postgres.dsn())) as database,
            ingress(outage.stage.kafka, database) as base,
            Caller(base, outage.stage.token) as app,
        ):
            assert (await app.search("p")).status == 200
            postgres.freeze()
            await reads_are_away(app)
            postgres.thaw()
            await reads_are_back(app)
            await postgres.kill()
            await reads_are_away(app)
            await postgres.start()
            await reads_are_back(app)
    finally:
        await postgres.stop()


async def reads_are_away(app: Caller) -> None:
    reads = [app.search("p") for _ in range(20)]
    started = time.monotonic()
    answers = await asyncio.gather(*reads, app.book(str(uuid4())))
    assert time.monotonic() - started < ANSWER_WITHIN_SECONDS
    assert [answer.status for answer in answers] == [503] * 20 + [202]


async def reads_are_back(app: Caller) -> None:
    async with asyncio.timeout(60):
        while (await app.search("p")).status != 200:
            await asyncio.sleep(0.1)
