"""Webhook endpoints by API: made, tested, read, rotated, switched off and on, replayed; with the worker at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from standardwebhooks import Webhook

from tests.stack import Kafka
from tests.support.commands import APP
from tests.support.database import Database
from tests.support.endpoint import Endpoint, listening
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged
from tests.support.log import until
from tests.support.running import running
from tests.support.webhooks import CLINIC, event, publish, received, settled, webhooks_settings
from tests.support.world import clinics, tomorrow
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.appointment import EventType
from waiting_room.webhook_events import CATALOGUE, PayloadKind, schema_of
from workers.assemble import Role

PATH = "/v1/webhook-endpoints"


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, clinics(2)) as stage:
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database, webhook_allow_networks="127.0.0.0/8") as base:
        yield base


@asynccontextmanager
async def clinic_of(stage: Stage, base: str, clinic_id: str = CLINIC) -> AsyncIterator[Caller]:
    async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, clinic_id) as clinic:
        yield clinic


async def create(caller: Caller, key: str, **body: Any) -> Answer:
    return await caller.call("POST", PATH, json=body, headers={"Idempotency-Key": key})


async def until_state(caller: Caller, endpoint_id: str, state: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def so() -> bool:
        found.update((await caller.get(f"{PATH}/{endpoint_id}")).body)
        return str(found.get("state")) == str(state)

    await until(so)
    return found


async def until_received(endpoint: Endpoint, kind: str, count: int = 1) -> None:
    async def so() -> bool:
        return len([each for each in endpoint.received if each.payload["type"] == kind]) >= count

    await until(so)


async def until_delivered(caller: Caller, address: str, kind: str) -> Any:
    """The last delivery that is known to have arrived, once it is of this kind: arriving is known a little later."""
    found: list[Any] = []

    async def so() -> bool:
        found[:] = (await caller.get(f"{address}/deliveries?state=delivered&limit=1")).body["deliveries"]
        return [each["type"] for each in found] == [kind]

    await until(so)
    return found[0]


async def test_the_life_of_an_endpoint(stage: Stage, base: str) -> None:
    endpoint = Endpoint("by api")
    settings = webhooks_settings(stage.database, stage.kafka)
    began = datetime.now(UTC)
    async with listening(endpoint), clinic_of(stage, base) as clinic, AsyncExitStack() as running_later:
        made = await create(clinic, "life", url=endpoint.url, events=["booking.confirmed", "booking.cancelled"])
        assert made.status == 201
        secret, told = made.body["secret"], made.body["endpoint"]
        address = f"{PATH}/{told['endpoint_id']}"
        assert (told["state"], told["payload"], made.headers["Location"]) == ("unverified", "thin", address)
        assert (await create(clinic, "life", url=endpoint.url, events=told["events"])).body["secret"] == secret
        assert (await create(clinic, "life", url=endpoint.url)).status == 422

        endpoint.secret = secret  # it takes nothing before, and few attempts are made in a test
        await running_later.enter_async_context(running(Role.WEBHOOKS, settings))
        await until_state(clinic, told["endpoint_id"], "active")
        assert secret not in str((await clinic.get(address)).body)

        await publish(stage.kafka, event(1, EventType.HELD), event(2), database=stage.database)
        await until_received(endpoint, "booking.confirmed")
        delivery = await until_delivered(clinic, address, "booking.confirmed")
        assert (delivery["attempts"], delivery["last_status"]) == (1, 204)
        detail = (await clinic.get(delivery["links"]["self"])).body
        sent = endpoint.received[-1]
        assert detail["request_body"] == sent.body
        assert detail["request_headers"]["webhook-id"] == sent.webhook_id
        [attempt] = detail["attempts"]
        assert (attempt["status"], attempt["url"], attempt["error"]) == (204, endpoint.url, None)
        assert attempt["seconds"] > 0

        rotated = await clinic.call("POST", f"{address}/rotate", headers={"Idempotency-Key": "first-rotation"})
        again = await clinic.call("POST", f"{address}/rotate", headers={"Idempotency-Key": "first-rotation"})
        assert rotated.body["secret"] == again.body["secret"] != secret
        assert len(again.body["endpoint"]["public_keys"]) == 2
        replayed = await clinic.call("POST", f"{delivery['links']['self']}/replay")
        assert (replayed.status, replayed.body["state"], replayed.body["replays"]) == (202, "due", 1)
        await until_received(endpoint, "booking.confirmed", 2)  # verified with the old secret
        Webhook(rotated.body["secret"]).verify(endpoint.received[-1].body, endpoint.received[-1].headers)
        assert endpoint.received[-1].webhook_id == sent.webhook_id
        await settled(stage.database, told["endpoint_id"])  # or what is still being told is not told once more below

        off = await clinic.call("POST", f"{address}/disable")
        assert (off.body["state"], off.body["disabled_reason"]) == ("disabled", "owner")
        await publish(stage.kafka, event(3, EventType.CANCELLED), database=stage.database)
        for refused in ("test", "replay"):
            body = {"since": began.isoformat()}
            answer = await clinic.call("POST", f"{address}/{refused}", json=body)
            assert (answer.status, answer.body["type"]) == (409, "/problems/endpoint-disabled")
        on = await clinic.call("POST", f"{address}/enable")
        assert (on.body["state"], on.body["disabled_reason"]) == ("active", None)
        assert on.body["told_from"] > told["told_from"]
        missed = await clinic.call("POST", f"{address}/replay", json={"since": began.isoformat()})
        assert (missed.status, missed.body) == (202, {"replayed": 2, "next_since": None, "archived": False})
        await until_received(endpoint, "booking.cancelled")
        test = await clinic.call("POST", f"{address}/test")
        assert (test.status, test.body["type"]) == (202, "endpoint.test")
        await until_received(endpoint, "endpoint.test", 2)
        await settled(stage.database)
        whole = (await clinic.get(f"{address}/deliveries")).body["deliveries"]
        pages, page = [], f"{address}/deliveries?limit=1"
        while page:
            answer = await clinic.get(page)
            pages += answer.body["deliveries"]
            page = answer.body["next"]
        assert [each["webhook_id"] for each in pages] == [each["webhook_id"] for each in whole]
        assert len(whole) == 4


async def test_an_app_hears_of_its_own_bookings_in_full_if_it_asks(stage: Stage, base: str) -> None:
    async with listening(Endpoint("app")) as endpoint, Caller(base, stage.token) as app:
        made = await create(app, "app", url=endpoint.url, payload="full")
        endpoint.secret = made.body["secret"]
        async with running(Role.WEBHOOKS, webhooks_settings(stage.database, stage.kafka)):
            await until_state(app, made.body["endpoint"]["endpoint_id"], "active")
            own, other = event(10, app_id=APP), event(11, app_id="another app")
            await publish(stage.kafka, own, other, database=stage.database)
            await received(endpoint, 2)
            await settled(stage.database)
    told = [each.payload for each in endpoint.received if each.payload["type"] == "booking.confirmed"]
    assert [each["data"]["clinic_sequence"] for each in told] == [10]
    assert "patient" in told[0]["data"]


async def test_failed_deliveries_are_listed_and_replayed_together(stage: Stage, base: str) -> None:
    endpoint = Endpoint("fails", answers=iter([(204, {}), *[(500, {})] * 3]))
    async with listening(endpoint), clinic_of(stage, base, "0002") as clinic:
        made = await create(clinic, "fails", url=endpoint.url)
        endpoint.secret = made.body["secret"]
        address = f"{PATH}/{made.body['endpoint']['endpoint_id']}"
        async with running(Role.WEBHOOKS, webhooks_settings(stage.database, stage.kafka)):
            await until_state(clinic, made.body["endpoint"]["endpoint_id"], "active")
            failing = event(1, clinic_id="0002", booking_ref="0002-A")
            await publish(stage.kafka, failing, clinic_id="0002", database=stage.database)
            await received(endpoint, 4)
            await settled(stage.database)
            [dead] = (await clinic.get(f"{address}/deliveries?state=failed")).body["deliveries"]
            assert (dead["failed_why"], dead["attempts"], dead["last_status"]) == ("attempts", 3, 500)
            assert (await clinic.get(address)).body["failing_since"]
            since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
            body = {"since": since, "only_failed": True}
            assert (await clinic.call("POST", f"{address}/replay", json=body)).body["replayed"] == 1
            await received(endpoint, 5)
            await settled(stage.database)
            assert (await clinic.call("POST", f"{address}/replay", json=body)).body["replayed"] == 0
            assert (await clinic.get(address)).body["failing_since"] is None


async def test_others_endpoints_are_not_there(stage: Stage, base: str) -> None:
    async with clinic_of(stage, base) as one, clinic_of(stage, base, "0002") as other:
        made = (await create(one, "mine", url="http://127.0.0.1:9/")).body["endpoint"]
        [test] = (await one.get(made["links"]["deliveries"])).body["deliveries"]
        for method, path in (
            ("GET", made["links"]["self"]),
            ("GET", made["links"]["deliveries"]),
            ("GET", test["links"]["self"]),
            ("POST", f"{made['links']['self']}/disable"),
            ("POST", f"{made['links']['self']}/test"),
            ("POST", f"{test['links']['self']}/replay"),
        ):
            answer = await other.call(method, path)
            assert (answer.status, answer.body["type"]) == (404, "/problems/unknown-endpoint")
        assert made["endpoint_id"] not in str((await other.get(PATH)).body)
        assert (await one.get(f"{made['links']['deliveries']}/0001-999-{made['endpoint_id']}")).status == 404
        async with Newcomer(stage.kafka, base, OwnerKind.OPERATOR, "op") as operator:
            off = await operator.call("POST", f"{made['links']['self']}/disable")
            assert off.body["disabled_reason"] == "operator"
            assert (await create(operator, "op", url="https://a.example/")).status == 403
        async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, CLINIC, Scope.CLINIC_READ) as reader:
            assert (await reader.get(PATH)).status == 403


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "ftp://a.example/"}, "/url"),
        ({"url": "https://user:password@a.example/"}, "/url"),
        ({"url": "https://10.0.0.1/hooks"}, "/url"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "/url"),
        ({"url": "https:///nowhere"}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["booking.calling"]}, "/events/0"),
        ({"payload": "fat"}, "/payload"),
        ({"secret": "whsec_"}, "/secret"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    stage: Stage, base: str, changes: dict[str, Any], pointer: str
) -> None:
    async with Caller(base, stage.token) as app:
        answer = await create(app, "wrong", **{"url": "https://a.example/hooks", **changes})
    assert answer.status == 422
    assert answer.body["errors"][0]["pointer"] == pointer


async def test_an_owner_has_so_many_endpoints_and_an_endpoint_so_many_secrets(stage: Stage, base: str) -> None:
    async with Newcomer(stage.kafka, base, OwnerKind.APP, "greedy") as app:
        made = [await create(app, f"greedy-{number}", url="https://a.example/") for number in range(21)]
        assert [answer.status for answer in made] == [201] * 20 + [409]
        path = f"{made[0].headers['Location']}/rotate"
        rotations = [await app.call("POST", path, headers={"Idempotency-Key": f"r{n}"}) for n in range(4)]
        assert [answer.status for answer in rotations] == [200] * 3 + [409]


async def test_the_catalogue_is_served_to_everybody_and_is_what_is_sent(stage: Stage, base: str) -> None:
    async with Caller(base, None) as anybody:
        catalogue = (await anybody.get("/v1/event-types")).body["event_types"]
    kinds = {each["type"]: each for each in catalogue}
    assert {"booking.confirmed", "booking.cancelled", "endpoint.test"} <= set(kinds)
    async with listening(Endpoint("catalogue")) as endpoint, clinic_of(stage, base) as clinic:
        made = await create(clinic, "catalogue", url=endpoint.url)
        endpoint.secret = made.body["secret"]
        async with running(Role.WEBHOOKS, webhooks_settings(stage.database, stage.kafka)):
            await publish(stage.kafka, event(20), database=stage.database)
            await until_received(endpoint, "booking.confirmed")
    for each in endpoint.received:
        assert Draft202012Validator(kinds[each.payload["type"]]["thin"]).is_valid(each.payload)


async def test_without_a_database_the_answer_is_503(stage: Stage) -> None:
    async with ingress(stage.kafka, None) as base, Caller(base, stage.token) as app:
        for answer in (await app.get(PATH), await create(app, "away", url="https://a.example/")):
            assert answer.status == 503
            assert answer.headers["Retry-After"]


async def test_a_closure_is_told_to_who_asked(stage: Stage, base: str) -> None:
    of_clinic, of_app, of_other = Endpoint("of clinic"), Endpoint("of app"), Endpoint("of another clinic")
    settings = webhooks_settings(stage.database, stage.kafka)
    closed = {"from": tomorrow(9).isoformat(), "to": tomorrow(12).isoformat()}
    began = datetime.now(UTC)
    async with (
        listening(of_clinic),
        listening(of_app),
        listening(of_other),
        clinic_of(stage, base) as clinic,
        clinic_of(stage, base, "0002") as other,
        Caller(base, stage.token) as app,
        AsyncExitStack() as running_later,
    ):
        addresses = []
        for caller, endpoint in ((clinic, of_clinic), (app, of_app), (other, of_other)):
            made = (await create(caller, "closures", url=endpoint.url, events=["clinic.closed"])).body
            endpoint.secret = made["secret"]
            addresses.append(made["endpoint"]["links"]["self"])
        await running_later.enter_async_context(running(Role.WEBHOOKS, settings))
        await until_received(of_other, "endpoint.test")

        async def close(key: str, **more: Any) -> Answer:
            headers = {"Idempotency-Key": key}
            return await clinic.call("POST", "/v1/clinics/0001/closures", json={**closed, **more}, headers=headers)

        assert (await close("whole-day", reason="oth-weath")).status == 202
        for endpoint in (of_clinic, of_app):
            await until_received(endpoint, "clinic.closed")
        told = of_clinic.received[-1].payload
        assert Draft202012Validator(schema_of(CATALOGUE["clinic.closed"], PayloadKind.THIN)).is_valid(told)
        assert told["data"]["clinic_id"] == "0001"
        assert datetime.fromisoformat(told["data"]["from"]) == tomorrow(9)
        assert (told["data"]["provider_ids"], told["data"]["reason"], told["data"]["sequence"]) == (
            None,
            "oth-weath",
            1,
        )
        assert (await close("whole-day", reason="prov")).status == 202, "the same again: nothing is told"
        assert (await close("a-doctor", provider_ids=["0001-1"])).status == 202
        await until_received(of_app, "clinic.closed", 2)
        assert (
            of_app.received[-1].payload["data"] | {"provider_ids": ["0001-1"], "sequence": 2, "reason": "prov"}
            == (of_app.received[-1].payload["data"])
        )
        assert (await close("why", reason="flu")).status == 422
        # Or what is still being told would stand for its own replay.
        await settled(stage.database, addresses[1].rpartition("/")[2])
        again = await app.call("POST", f"{addresses[1]}/replay", json={"since": began.isoformat()})
        assert again.body["replayed"] == 2
        await until_received(of_app, "clinic.closed", 4)
        assert len({each.webhook_id for each in of_app.received}) == 3, "a replay keeps its id"
        assert [each.payload["type"] for each in of_other.received] == ["endpoint.test"]
