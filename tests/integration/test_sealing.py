"""What is at rest says nothing of patients, whoever needs them opens them, and who was forgotten stays so."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from tests.stack import Kafka
from tests.support import topics
from tests.support.commands import APP, book
from tests.support.confirming import Site, sites
from tests.support.database import Database, clone
from tests.support.endpoint import Endpoint, listening, register
from tests.support.gateways import Gateways, gateways
from tests.support.ingress import Answer, Caller, announce, ingress, key_for, wish
from tests.support.log import append, everything_in, until
from tests.support.running import running
from tests.support.webhooks import webhooks_settings
from tests.support.world import settings_for
from waiting_room.access import OwnerKind
from waiting_room.messages import DirectoryEntry, encode
from waiting_room.store import directory
from waiting_room.topics import BOOKING_REQUESTS, TOPICS, dead_letters_of
from workers.assemble import Role

CANARY = "canary-7391"
CONTACT = {"email": f"{CANARY}@patients.example", "phone": "+49 555 7391 02648"}
DIGITS = "739102648"
"""Of the phone number, however it is written; so many that no time nor key has them by chance."""
ERASURE = "/v1/patients/erasure"


@dataclass(frozen=True)
class Stage:
    """Everything at work, and a booking of CANARY that is confirmed."""

    kafka: Kafka
    database: Database
    app: Caller
    site: Site
    endpoint: Endpoint
    post: Gateways
    ref: str

    async def until_status(self, ref: str, status: str) -> dict[str, Any]:
        body: dict[str, Any] = {}

        async def so() -> bool:
            body.update((await self.app.get(f"/v1/appointments/{ref}")).body)
            return body.get("status") == status

        await until(so)
        return body


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    await topics.recreate(kafka)
    async with (
        clone(template) as database,
        sites(database, kafka) as [site],
        gateways() as post,
        listening(Endpoint("full")) as endpoint,
    ):
        token, key = key_for(OwnerKind.APP, APP)
        async with database.owner() as owner:
            await register(owner, endpoint, "app", APP, payload="full")
            clinics = await directory.load(owner)
        await announce(kafka, [*(DirectoryEntry(clinic=clinic) for clinic in clinics), key])
        async with (
            _roles(database, kafka, site, post),
            ingress(kafka, database) as base,
            Caller(base, token) as app,
        ):
            asked = wish(site.spec.provider_id, patient={"id": CANARY, "contact": CONTACT, "locale": "de"})
            ref = (await app.book(str(uuid4()), asked)).body["booking_ref"]
            stage = Stage(kafka, database, app, site, endpoint, post, ref)
            await stage.until_status(ref, "confirmed")
            yield stage


@asynccontextmanager
async def _roles(database: Database, kafka: Kafka, site: Site, post: Gateways) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for role, settings in (
            (Role.HOLD, settings_for(database, kafka, "hold")),
            (Role.CONFIRM, site.settings),
            (Role.RELAY, settings_for(database, kafka, "relay")),
            (Role.WEBHOOKS, webhooks_settings(database, kafka)),
            (Role.NOTIFY, settings_for(database, kafka, "notify", **post.settings)),
        ):
            await stack.enter_async_context(running(role, settings))
        yield


def _hidden(value: bytes) -> Iterator[bytes]:
    """A record's value, and what stands in it as base64."""
    yield value
    try:
        told = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return
    for each in told.values() if isinstance(told, dict) else ():
        if isinstance(each, str) and len(each) % 4 == 0:
            try:
                yield b64decode(each, validate=True)
            except ValueError:
                continue


async def at_rest(kafka: Kafka, database: Database) -> dict[str, bytes]:
    """All bytes of every topic, and of every table as PostgreSQL has them."""
    found: dict[str, bytes] = {}
    for topic in TOPICS:
        records = await everything_in(kafka, topic.name)
        parts = [part for each in records for part in ((each.key or b""), *_hidden(each.value or b""))]
        parts += [value for each in records for _, value in each.headers]
        found[topic.name] = b"\n".join(parts)
    async with database.owner() as owner:
        names = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for name in (row["tablename"] for row in names):
            copied = BytesIO()
            await owner.copy_from_query(f"SELECT * FROM {name}", output=copied, format="binary")  # partitioned or not
            found[name] = copied.getvalue()
    return found


async def test_clinic_endpoint_and_patient_are_told_and_what_is_at_rest_names_nobody(stage: Stage) -> None:
    assert stage.ref in stage.site.records()
    [sent] = await stage.post.sent(1)
    assert sent.to == CONTACT["email"]

    async def told() -> bool:
        return any(each.payload["type"] == "booking.confirmed" for each in stage.endpoint.received)

    await until(told)
    assert all(each.payload["data"]["patient"]["id"] == CANARY for each in stage.endpoint.received)
    listed = (await stage.app.search(CANARY)).body["appointments"]
    assert [each["booking_ref"] for each in listed] == [stage.ref]
    found = await at_rest(stage.kafka, stage.database)
    assert stage.ref.encode() in found["appointments"]
    assert stage.ref.encode() in found[BOOKING_REQUESTS]
    for canary in (CANARY, *CONTACT.values(), DIGITS):
        assert [where for where, what in found.items() if canary.encode() in what] == []


async def test_a_booking_whose_patient_nobody_can_open_is_rejected_and_kept_for_a_person(stage: Stage) -> None:
    command = book(stage.site.spec, "forgotten", patient=None, sealed=b"?" * 40, intake_key="0123456789abcdef")
    spec = stage.site.spec
    await append(stage.kafka, BOOKING_REQUESTS, spec.partition, spec.clinic_id, encode(command))
    body = await stage.until_status(command.booking_ref, "rejected")
    assert body["reason"] == "unprocessable"
    [letter] = await everything_in(stage.kafka, dead_letters_of(BOOKING_REQUESTS))
    assert letter.value == encode(command)


async def erase(stage: Stage, key: str) -> Answer:
    return await stage.app.call("POST", ERASURE, json={"patient_id": CANARY}, headers={"Idempotency-Key": key})


async def forget(stage: Stage) -> Answer:
    """Once the booking is off, and told to be; again and again until its clinic has taken it back."""
    await stage.post.sent(1)
    await stage.app.cancel(stage.ref, "no-more")
    await stage.until_status(stage.ref, "cancelled")
    await stage.post.sent(2)
    while (answer := await erase(stage, "now")).status == 409:
        await asyncio.sleep(0.05)
    return answer


async def test_a_patient_is_forgotten_when_nothing_is_to_take_place_any_more(stage: Stage) -> None:
    refused = await erase(stage, "too-early")
    assert (refused.status, refused.problem, refused.body["bookings"]) == (409, "patient-has-bookings", [stage.ref])
    forgotten = await forget(stage)
    assert (forgotten.status, forgotten.body["bookings"]) == (200, 1)
    assert (await erase(stage, "again")).body["bookings"] == 0
    read = (await stage.app.get(f"/v1/appointments/{stage.ref}")).body
    assert datetime.fromisoformat(read["patient_erased_at"]) <= datetime.now(UTC)
    assert read["status"] == "cancelled"
    assert (await stage.app.search(CANARY)).body["appointments"] == []
    async with stage.database.owner() as owner:
        for table in ("patient_keys", "patient_claims", "unsubscribed"):
            assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0
        row = await owner.fetchrow("SELECT * FROM appointments WHERE booking_ref = $1", stage.ref)
        assert row is not None
        assert (row["patient"], row["patient_id"], row["body_hash"]) == (None, None, None)


async def test_who_was_forgotten_may_come_back(stage: Stage) -> None:
    await forget(stage)  # unless they were by the test before
    asked = wish(stage.site.spec.provider_id, patient={"id": CANARY})
    ref = (await stage.app.book(str(uuid4()), asked)).body["booking_ref"]
    await stage.until_status(ref, "confirmed")
    listed = (await stage.app.search(CANARY)).body["appointments"]
    assert [each["booking_ref"] for each in listed] == [ref]


async def test_only_those_read_keys_who_open_what_is_sealed(database: Database) -> None:
    may = {"hold", "confirm", "notify", "webhooks"}
    for role in (*Role, "ingress", "audit"):
        connection = await asyncpg.connect(database.dsn(role))
        try:
            await connection.fetch("SELECT wrapped FROM patient_keys")
            assert role in may
        except asyncpg.InsufficientPrivilegeError:
            assert role not in may
        finally:
            await connection.close()
