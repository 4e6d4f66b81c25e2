"""What becomes of endpoints: numbered events, tests, rotation, and switching off, which others hear of."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import repeat
from typing import Any

from standardwebhooks import Webhook

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.endpoint import ENVELOPE, EVERYTHING, Endpoint, listening, register
from tests.support.log import until
from tests.support.running import running
from tests.support.webhooks import APP, CLINIC, commit, event, publish, received, rows, settled, webhooks_settings
from waiting_room.domain.appointment import EventType
from waiting_room.store import webhook_secrets
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_secrets import NewSecret
from waiting_room.webhook_events import payload_of_test
from waiting_room.webhook_signing import new_keys, seal
from workers.assemble import Role


async def endpoint_row(owner: Connection, endpoint_id: str) -> dict[str, Any]:
    row = await owner.fetchrow("SELECT * FROM webhook_endpoints WHERE endpoint_id = $1", endpoint_id)
    assert row is not None
    return dict(row)


async def test_a_bookings_public_events_are_numbered_without_gaps(database: Database, fresh_kafka: Kafka) -> None:
    ref = f"{CLINIC}-AAAA"
    course = (EventType.ACCEPTED, EventType.HELD, EventType.CALLING, EventType.NOT_BOOKED, EventType.CONFIRMED)
    async with listening(Endpoint("ep_1")) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC, payload="full")
        events = [event(seq, kind, booking_ref=ref) for seq, kind in enumerate(course, 1)]
        events.insert(2, event(6, EventType.HELD, booking_ref=f"{CLINIC}-BBBB"))
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, *events, database=database)
            await received(endpoint, 4)
    told = [each.payload["data"] for each in endpoint.received]
    numbers = sorted((data["sequence"], data["clinic_sequence"]) for data in told if data["booking_ref"] == ref)
    assert numbers == [(1, 1), (2, 2), (3, 5)]
    assert all(data["patient"] is None for data in told)  # no row of theirs is left


async def test_one_that_fails_for_days_is_switched_off_and_others_hear_of_it(
    database: Database, fresh_kafka: Kafka
) -> None:
    settings = webhooks_settings(database, fresh_kafka, webhook_retry_seconds=",".join(["0.1"] * 600))
    async with (
        listening(Endpoint("ep_bad", answers=repeat((500, {})))) as bad,
        listening(Endpoint("ep_good")) as good,
        database.owner() as owner,
    ):
        await register(owner, bad, "clinic", CLINIC, ("booking.confirmed",))
        await register(owner, good, "clinic", CLINIC, ("booking.cancelled",))
        async with running(Role.WEBHOOKS, settings):
            await publish(fresh_kafka, event(1), database=database)
            await received(bad, 2)

            async def failing() -> bool:
                return (await endpoint_row(owner, "ep_bad"))["failing_since"] is not None

            await until(failing)
            assert (await endpoint_row(owner, "ep_bad"))["active"]
            await owner.execute(
                "UPDATE webhook_endpoints SET failing_since = now() - interval '121 hours' WHERE endpoint_id = 'ep_bad'"
            )
            await received(good, 1)
            await settled(database)
        row = await endpoint_row(owner, "ep_bad")
        assert (row["active"], row["disabled_reason"]) == (False, "failing")
    [told] = good.received
    assert told.payload["type"] == "endpoint.disabled"
    assert told.payload["data"] == {"endpoint_id": "ep_bad", "reason": "failing"}
    [failed] = [row for row in await rows(database) if row["endpoint_id"] == "ep_bad"]
    assert (failed["state"], failed["failed_why"]) == ("failed", "disabled")


async def test_one_that_has_answered_no_test_for_days_is_switched_off_too(
    database: Database, fresh_kafka: Kafka
) -> None:
    """Nothing is sent to it, so nothing fails: what happened meanwhile waited for ever."""
    endpoints = [Endpoint(name, url="http://127.0.0.1:9/") for name in ("ep_old", "ep_new", "ep_unasked")]
    async with database.owner() as owner:
        await commit(owner, event(1))
        for endpoint in endpoints:
            await register(owner, endpoint, "clinic", CLINIC)
            await owner.execute(
                "INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, booking_ref, event, committed_at) "
                "VALUES ($1, $2, 1, 'ref', 'booking.confirmed', now())",
                endpoint.endpoint_id,
                CLINIC,
            )
        await owner.execute("UPDATE webhook_endpoints SET verified_at = NULL")
        await owner.execute(
            "UPDATE webhook_endpoints SET told_from = now() - interval '121 hours' WHERE endpoint_id <> 'ep_new'"
        )
        await owner.execute(  # as after an outage of ours
            "INSERT INTO webhook_deliveries "
            "(endpoint_id, clinic_id, seq, event, payload, committed_at, next_attempt_at) VALUES "
            "('ep_unasked', 'endpoint', 1, 'endpoint.test', '{}', now(), now() + interval '1 hour')"
        )
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await settled(database, "ep_old")
        states = {each["endpoint_id"]: each["disabled_reason"] for each in await owner.fetch("TABLE webhook_endpoints")}
    assert states == {"ep_old": "failing", "ep_new": None, "ep_unasked": None}
    failed = {row["endpoint_id"]: row["failed_why"] for row in await rows(database) if row["event"] != "endpoint.test"}
    assert failed == {"ep_old": "disabled", "ep_new": None, "ep_unasked": None}


async def test_a_yes_takes_the_mark_of_failing_away(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1", answers=iter([(500, {}), (500, {})]))) as endpoint, database.owner() as owner:
        await register(owner, endpoint, "clinic", CLINIC)
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1), database=database)
            await settled(database)
        row = await endpoint_row(owner, "ep_1")
        assert (row["active"], row["failing_since"]) == (True, None)
        attempts = await owner.fetch("SELECT * FROM webhook_attempts ORDER BY started_at")
    assert [each["status"] for each in attempts] == [500, 500, 204]
    assert all(each["url"] == endpoint.url and each["seconds"] > 0 for each in attempts)


async def test_before_it_has_answered_a_test_an_endpoint_is_sent_nothing_else(
    database: Database, fresh_kafka: Kafka
) -> None:
    async with listening(Endpoint("ep_1", answers=iter([(500, {})]))) as endpoint, database.owner() as owner:
        await register(owner, endpoint, "clinic", CLINIC)
        await owner.execute("UPDATE webhook_endpoints SET verified_at = NULL")
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1), database=database)

            async def enlisted() -> bool:
                return len(await rows(database)) == 1

            await until(enlisted)
            await owner.execute(
                "INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, event, payload, committed_at) "
                "VALUES ('ep_1', 'endpoint', 1, 'endpoint.test', $1, now())",
                payload_of_test("ep_1", datetime.now(UTC)),
            )
            await settled(database)
        assert (await endpoint_row(owner, "ep_1"))["verified_at"]
    assert [each.payload["type"] for each in endpoint.received] == ["endpoint.test"] * 2 + ["booking.confirmed"]


async def test_during_a_rotation_old_and_new_secrets_both_verify(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1")) as endpoint, database.owner() as owner:
        await register(owner, endpoint, "clinic", CLINIC)
        new, expired = new_keys(), new_keys()
        for name, keys, overlap in (("gone", expired, 0.0), ("new", new, 0.0)):
            await webhook_secrets.replace(
                owner, [NewSecret("ep_1", name, *seal(ENVELOPE, "ep_1", keys))], overlap_seconds=overlap
            )
        await owner.execute(
            "UPDATE webhook_secrets SET expires_at = now() + interval '1 day' WHERE secret_id = 'first'"
        )
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1), database=database)
            await received(endpoint, 1)  # its own secret verified
    [got] = endpoint.received
    Webhook(new.secret).verify(got.body, got.headers)
    assert len(got.headers["webhook-signature"].split()) == 4


async def test_a_secret_that_does_not_open_costs_no_attempt(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1")) as endpoint, database.owner() as owner:
        await register(owner, endpoint, "clinic", CLINIC)
        await owner.execute("UPDATE webhook_secrets SET sealed = '\x01'")
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1), database=database)

            async def tried() -> bool:
                return bool(await owner.fetchval("SELECT count(*) FROM webhook_attempts"))

            await until(tried)
        [row] = await rows(database)
        assert (row["state"], row["attempts"]) == ("due", 0)
        assert "master key" in row["last_error"]
        assert (await endpoint_row(owner, "ep_1"))["failing_since"] is None
    assert endpoint.received == []


async def test_what_is_not_committed_is_not_told(database: Database, fresh_kafka: Kafka) -> None:
    async with listening(Endpoint("ep_1")) as endpoint, database.owner() as owner:
        await register(owner, endpoint, "app", APP, EVERYTHING)
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka)):
            await publish(fresh_kafka, event(1))  # published, and the database restored to before it
            await commit(owner, event(2))
            await publish(fresh_kafka, event(2))
            await settled(database)
    assert [each.payload["data"]["clinic_sequence"] for each in endpoint.received] == [2]
