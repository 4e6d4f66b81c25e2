"""Webhooks on real servers: each public event reaches each endpoint that asks for it, signed, whatever endpoints do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.endpoint import Endpoint, listening, register
from tests.support.log import everything_in
from tests.support.running import running
from tests.support.webhooks import (
    APP,
    CLINIC,
    commit,
    event,
    publish,
    received,
    rows,
    settled,
    until_committed,
    webhooks_settings,
)
from waiting_room import topics
from waiting_room.domain.appointment import EventType
from waiting_room.domain.delivery import DeliveryState, FailedWhy
from waiting_room.store import webhooks
from workers.assemble import Role


async def test_each_event_reaches_who_asked_for_it_once_and_signed(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_clinic")) as of_clinic, listening(Endpoint("ep_app")) as of_app:
        async with database.owner() as owner:
            await register(owner, of_clinic, "clinic", CLINIC)
            await register(owner, of_app, "app", APP, ("booking.confirmed",))
            await register(owner, Endpoint("ep_other", url=of_app.url), "clinic", "0002")
        events = [event(1, EventType.HELD), event(2, EventType.CALLING), event(3, EventType.CONFIRMED)]
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, *events, database=database)
            await received(of_clinic, 2)
            await received(of_app, 1)
            await publish(
                fresh_kafka, *events, event(4, EventType.CANCELLED), database=database
            )  # published again, as after a crash
            await received(of_clinic, 3)
            delivered = await settled(database)
        assert {each.webhook_id for each in of_clinic.received} == {
            f"{CLINIC}-1-ep_clinic",
            f"{CLINIC}-3-ep_clinic",
            f"{CLINIC}-4-ep_clinic",
        }
        [to_app] = of_app.received
        assert to_app.payload["type"] == "booking.confirmed"
        assert to_app.payload["data"]["booking_ref"] == f"{CLINIC}-3"
    assert [(row["endpoint_id"], row["seq"], row["state"]) for row in delivered] == [
        ("ep_app", 3, "delivered"),
        ("ep_clinic", 1, "delivered"),
        ("ep_clinic", 3, "delivered"),
        ("ep_clinic", 4, "delivered"),
    ]
    assert all(row["delivered_at"] and row["last_status"] == 204 for row in delivered)


async def test_what_happened_before_an_endpoint_was_made_is_not_told(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1")) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(
                fresh_kafka, event(1, at=datetime.now(UTC) - timedelta(minutes=1)), event(2), database=database
            )
            await settled(database)
        assert [each.payload["data"]["clinic_sequence"] for each in endpoint.received] == [2]


async def test_a_failed_delivery_is_tried_again_under_the_same_id(database: Database, fresh_kafka: Kafka) -> None:
    answers: list[tuple[int, dict[str, str]]] = [(500, {}), (503, {"Retry-After": "1"})]
    async with listening(Endpoint("ep_1", answers=iter(answers))) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1), database=database)
            [row] = await settled(database)
        assert (row["state"], row["attempts"], row["last_status"]) == ("delivered", 3, 204)
        first, second, third = endpoint.received
        assert first.webhook_id == second.webhook_id == third.webhook_id
        assert third.at - second.at >= 1  # Retry-After


async def test_after_the_last_attempt_it_has_failed(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1", answers=iter([(302, {"Location": "/elsewhere"})] * 9))) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1), database=database)
            [row] = await settled(database)
        assert (row["state"], row["attempts"], row["last_status"]) == ("failed", 3, 302)
        assert [each.path for each in endpoint.received] == ["/hooks"] * 3  # redirects are not followed


async def test_an_endpoint_that_hangs_delays_nobody(database: Database, fresh_kafka: Kafka) -> None:
    settings = webhooks_settings(
        database,
        fresh_kafka,
        webhook_timeout_seconds=60,
        webhook_in_flight_max=12,
        webhook_endpoint_in_flight_max=4,
        shutdown_seconds=4,
    )
    async with listening(Endpoint("ep_a", hang=True)) as hangs, listening(Endpoint("ep_b")) as works:
        async with database.owner() as owner:
            await register(owner, hangs, "clinic", CLINIC)
            await register(owner, works, "clinic", "0002")
        async with running(Role.WEBHOOKS, settings):
            await publish(fresh_kafka, *(event(seq) for seq in range(1, 101)), database=database)
            await received(hangs, 1)
            others = [event(seq, clinic_id="0002") for seq in range(1, 101)]
            await publish(fresh_kafka, *others, clinic_id="0002", database=database)
            await received(works, 100)
            assert len(hangs.received) == 1  # nothing says that it takes more, and it has not answered
        left = [row for row in await rows(database) if row["endpoint_id"] == "ep_a"]
        assert {(row["state"], row["lease_until"], row["attempts"]) for row in left} == {
            ("due", None, 0)
        }  # handed back


async def test_a_delivery_of_a_sender_that_died_is_sent_by_another(database: Database, fresh_kafka: Kafka) -> None:
    settings = webhooks_settings(database, fresh_kafka)
    async with listening(Endpoint("ep_1")) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
            await commit(owner, event(1))
            notice = webhooks.Notice(CLINIC, 1)
            assert await webhooks.enlist(owner, [notice]) == 1
            assert await webhooks.enlist(owner, [notice]) == 0
            [lost] = await webhooks.claim(owner, rooms={}, room_of_others=8, limit=9, lease_seconds=2)
        async with running(Role.WEBHOOKS, settings):
            [row] = await settled(database)
        assert row["delivered_at"] >= lost.lease_until
        assert len(endpoint.received) == 1


async def test_of_two_outcomes_the_lease_holders_counts_but_a_yes_always_does(database: Database) -> None:
    async with database.owner() as owner:
        await register(owner, Endpoint("ep_1", url="http://127.0.0.1:9/"), "clinic", CLINIC)
        await commit(owner, event(1))
        await webhooks.enlist(owner, [webhooks.Notice(CLINIC, 1)])
        [zombie] = await webhooks.claim(owner, rooms={}, room_of_others=8, limit=9, lease_seconds=0)
        await asyncio.sleep(0.01)
        [current] = await webhooks.claim(owner, rooms={}, room_of_others=8, limit=9, lease_seconds=60)
        late = webhooks.Settled(
            "ep_1", CLINIC, 1, zombie.lease_until, DeliveryState.FAILED, FailedWhy.ATTEMPTS, None, 1,
            datetime.now(UTC), 15.0, zombie.url, None, "timeout", None,
        )  # fmt: skip
        await webhooks.record(owner, [late])
        [row] = await rows(database)
        assert (row["state"], row["attempts"], row["lease_until"]) == ("due", 0, current.lease_until)
        await webhooks.record(
            owner,
            [
                late._replace(
                    state=DeliveryState.DELIVERED, failed_why=None, started_at=datetime.now(UTC), status=204, error=None
                )
            ],
        )
        [row] = await rows(database)
        assert (row["state"], row["attempts"]) == ("delivered", 1)
        assert await owner.fetchval("SELECT count(*) FROM webhook_attempts") == 2


async def test_an_endpoint_that_is_gone_is_switched_off(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1", answers=iter([(410, {})]))) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
            async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
                await publish(fresh_kafka, event(1), database=database)
                [row] = await settled(database)
                await publish(fresh_kafka, event(2), database=database)
                await until_committed(fresh_kafka, 2)
            assert (row["state"], row["last_status"]) == ("failed", 410)
            assert not await owner.fetchval("SELECT active FROM webhook_endpoints")
        assert len(await rows(database)) == 1
        assert len(endpoint.received) == 1


async def test_private_addresses_are_not_reached_unless_allowed(database: Database, fresh_kafka: Kafka) -> None:
    settings = webhooks_settings(database, fresh_kafka, webhook_allow_networks="", webhook_retry_seconds="0.1")
    async with listening(Endpoint("ep_1")) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        async with running(Role.WEBHOOKS, settings):
            await publish(fresh_kafka, event(1), database=database)
            [row] = await settled(database)
        assert (row["state"], row["last_error"]) == ("failed", "address not public")
        assert endpoint.received == []


async def test_what_cannot_be_read_is_put_aside_and_the_rest_goes_on(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1")) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        poison = event(2, clinic_id="no\0text in PostgreSQL")
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            async with database.owner() as owner:
                await commit(owner, event(1), event(3))
            await publish(fresh_kafka, b"\xff", event(1), poison, event(3))
            await received(endpoint, 2)
            await until_committed(fresh_kafka, 4)
        assert {each.payload["data"]["clinic_sequence"] for each in endpoint.received} == {1, 3}
        aside = await everything_in(fresh_kafka, topics.dead_letters_of(topics.BOOKING_EVENTS))
        assert [record.value for record in aside] == [b"\xff", poison]
        headers = dict(aside[0].headers)
        assert headers["dead-letter-source-offset"] == b"0"
        assert b"dead-letter" not in headers["dead-letter-reason"]
