"""Lists: a patient's bookings for the app that made them, a clinic's day for the clinic, the directory for both."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.stack import Kafka
from tests.support.commands import APP
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged
from tests.support.lines import line_up
from tests.support.world import SERVICE, clinics, tomorrow
from waiting_room.access import OwnerKind

SPECS = clinics(3, endpoint="http://127.0.0.1:9")
LIST = "/v1/appointments"


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        async with stage.database.owner() as owner:
            await line_up(owner, SPECS[0], 5, "anna")
            await line_up(owner, SPECS[1], 2, "anna")
            await line_up(owner, SPECS[1], 1, "ben")
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database) as base:
        yield base


@pytest.fixture(scope="module")
async def app(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Caller(base, stage.token) as caller:
        yield caller


@pytest.fixture(scope="module")
async def clinic(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0001") as caller:
        yield caller


def cursor(*parts: str) -> str:
    """Like one of ours, as somebody else might write it."""
    return urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def refs(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [each["booking_ref"] for each in answer.body["appointments"]]


async def test_a_patients_bookings_newest_first_page_by_page(app: Caller) -> None:
    everything = refs(await app.search("anna"))
    assert len(everything) == 7
    page = await app.search("anna", params={"limit": "3"})
    pages = [refs(page)]
    while page.body["next"]:
        assert says_of("anna", page.body["next"]) == []
        page = await app.search("anna", page.body["next"])
        pages.append(refs(page))
    assert [len(each) for each in pages] == [3, 3, 1]
    assert [ref for each in pages for ref in each] == everything
    assert refs(await app.search("nobody")) == []


def says_of(patient_id: str, address: str) -> list[str]:
    """What in this address names the patient, its cursor opened."""
    read = address + "".join(
        urlsafe_b64decode(each + "==").decode("latin-1") for each in parse_qs(urlsplit(address).query)["cursor"]
    )
    return [form for form in (patient_id, patient_id.encode().hex()) if form in read]


async def test_an_address_may_name_the_patient_too(app: Caller, clinic: Caller) -> None:
    pages = [await app.get(LIST, params={"patient": "anna", "limit": "4"})]
    pages.append(await app.get(pages[0].body["next"]))
    assert [ref for page in pages for ref in refs(page)] == refs(await app.search("anna"))
    assert (await clinic.get(LIST, params={"patient": "anna"})).status == 403
    assert (await app.call("POST", f"{LIST}/search", params={"patient_id": "anna"}, json={})).status == 422
    assert (await app.get(f"{LIST}/search")).status == 405


async def test_a_list_says_where_each_booking_stands(app: Caller) -> None:
    told = (await app.search("ben")).body["appointments"][0]
    assert (told["place"], told["clinic_id"], told["status"]) == (3, "0002", "pending")
    assert "patient" not in told


async def test_another_apps_patient_of_the_same_number_is_somebody_else(stage: Stage, base: str) -> None:
    async with Newcomer(stage.kafka, base, OwnerKind.APP, "other") as other:
        assert refs(await other.search("anna")) == []


async def test_a_clinic_lists_its_own_day(clinic: Caller) -> None:
    day = tomorrow().date().isoformat()
    listed = await clinic.get(LIST, params={"clinic": "0001", "day": day})
    starts = [each["start_at"] for each in listed.body["appointments"]]
    assert len(starts) == 5
    assert starts == sorted(starts)
    first = await clinic.get(LIST, params={"clinic": "0001", "day": day, "limit": "4"})
    rest = await clinic.get(first.body["next"])
    assert refs(first) + refs(rest) == refs(listed)
    other_day = (tomorrow() + timedelta(days=1)).date().isoformat()
    assert refs(await clinic.get(LIST, params={"clinic": "0001", "day": other_day})) == []
    assert (await clinic.get(LIST, params={"clinic": "0002", "day": day})).status == 403
    assert (await clinic.search("anna")).status == 403
    one = refs(listed)[0]
    assert (await clinic.get(f"{LIST}/{one}")).body["booking_ref"] == one


async def test_an_operator_sees_every_clinic_and_an_app_none(stage: Stage, base: str, app: Caller) -> None:
    query = {"clinic": "0002", "day": tomorrow().date().isoformat()}
    async with Newcomer(stage.kafka, base, OwnerKind.OPERATOR, "olga") as operator:
        assert len(refs(await operator.get(LIST, params=query))) == 3
        unknown = await operator.get(LIST, params={**query, "clinic": "ZZZZ"})
        assert (unknown.status, unknown.body["errors"][0]["parameter"]) == (422, "clinic")
    assert (await app.get(LIST, params=query)).status == 403


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ({}, 422, "whose-bookings"),
        ({"clinic": "0001"}, 422, "whose-bookings"),
        ({"patient": "anna", "clinic": "0001"}, 422, "whose-bookings"),
        ({"day": "2026-01-01"}, 422, "whose-bookings"),
        ({"clinic": "0001", "day": "tomorrow"}, 400, "bad-parameter"),
        ({"clinic": "0001", "day": "2026-02-30"}, 400, "bad-parameter"),
    ],
)
async def test_what_cannot_be_listed(clinic: Caller, query: dict[str, str], status: int, name: str) -> None:
    answer = await clinic.get(LIST, params=query)
    assert (answer.status, answer.problem) == (status, name)
    [fault] = answer.body["errors"]
    assert fault["parameter"] in ("patient", "clinic", "day")


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ({"limit": "0"}, 400, "bad-parameter"),
        ({"limit": "many"}, 400, "bad-parameter"),
        ({"cursor": "x"}, 422, "bad-cursor"),
        ({"cursor": cursor("2026-01-01T00:00:00", "x")}, 422, "bad-cursor"),
        ({"cursor": cursor("2026-01-01T00:00:00Z", "\0")}, 422, "bad-cursor"),
        ({"cursor": cursor("0001-01-01T00:00:00+14:00", "x")}, 422, "bad-cursor"),
    ],
)
async def test_what_is_no_page(app: Caller, clinic: Caller, query: dict[str, str], status: int, name: str) -> None:
    day = {"clinic": "0001", "day": "2026-01-01"}
    for answer in (await app.search("anna", params=query), await clinic.get(LIST, params={**day, **query})):
        assert (answer.status, answer.problem) == (status, name)


@pytest.mark.parametrize(
    ("body", "name", "pointer"),
    [
        ({}, "missing-field", "/patient_id"),
        ({"patient_id": "anna b"}, "wrong-value", "/patient_id"),
        ({"patient_id": "anna", "limit": 3}, "unknown-field", "/limit"),
    ],
)
async def test_what_is_no_search(app: Caller, body: dict[str, Any], name: str, pointer: str) -> None:
    answer = await app.call("POST", f"{LIST}/search", json=body)
    assert (answer.status, answer.problem, answer.body["errors"][0]["pointer"]) == (422, name, pointer)


async def test_the_directory(app: Caller) -> None:
    first = await app.get("/v1/clinics", params={"limit": "2"})
    assert [each["clinic_id"] for each in first.body["clinics"]] == ["0001", "0002"]
    rest = await app.get(first.body["next"])
    assert [each["clinic_id"] for each in rest.body["clinics"]] == ["0003"]
    assert rest.body["next"] is None
    clinic = (await app.get("/v1/clinics/0001")).body
    assert (clinic["status"], clinic["timezone"]) == ("open", "UTC")
    assert clinic["service_types"][0]["service_type"] == SERVICE
    (provider,) = (await app.get(clinic["links"]["providers"])).body["providers"]
    assert provider["provider_id"] == "0001-1"
    assert provider["hours"][0] == {"weekday": 1, "opens": "00:00", "closes": "23:30", "slot_minutes": 30}
    assert (await app.get("/v1/clinics/ZZZZ")).body["type"] == "/problems/not-found"
    assert APP not in str(clinic)
