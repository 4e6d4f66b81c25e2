"""Booking, reading and cancelling over HTTP while nobody holds: what ingress knows and appends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from msgspec import structs

from tests.stack import Kafka
from tests.support.commands import APP, REFS
from tests.support.database import Database
from tests.support.endpoint import ENVELOPE
from tests.support.ingress import Caller, Newcomer, Stage, announce, ingress, staged, wish
from tests.support.log import everything_in
from tests.support.world import clinics, tomorrow
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.booking_ref import normalise
from waiting_room.intake_keys import IntakeKeys
from waiting_room.messages import Book, Cancel, Command, Reader
from waiting_room.topics import BOOKING_REQUESTS, INTAKE_KEYS

_read: Reader[Command] = Reader(Command)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, clinics(3)) as stage:
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as caller:
        yield caller


@pytest.fixture
def key() -> str:
    return str(uuid4())


async def commands_of(stage: Stage, ref: str) -> list[Book | Cancel]:
    """What was appended for this booking, in order."""
    commands = [_read(record.value) for record in await everything_in(stage.kafka, BOOKING_REQUESTS)]
    return [each for each in commands if isinstance(each, Book | Cancel) and each.booking_ref == ref]


async def patient_in(stage: Stage, command: Book) -> bytes:
    """What hold opens."""
    keys = IntakeKeys(ENVELOPE)
    for record in await everything_in(stage.kafka, INTAKE_KEYS):
        keys.apply(record.key.decode(), record.value)
    key = keys.key(command.intake_key or "", datetime.now(UTC))
    assert key is not None
    return key.open(command.sealed or b"", command.booking_ref)


async def test_a_booking_is_one_record_with_everything_hold_needs(app: Caller, stage: Stage, key: str) -> None:
    answer = await app.book(key)
    assert answer.status == 202
    ref = answer.body["booking_ref"]
    assert normalise(ref) == ref
    assert answer.body["status"] == "pending"
    assert answer.body["stage"] == "accepted"
    assert answer.headers["Location"] == f"/v1/appointments/{ref}" == answer.body["links"]["self"]
    assert int(answer.headers["Retry-After"]) >= 1
    (command,) = await commands_of(stage, ref)
    assert isinstance(command, Book)
    assert (command.clinic_id, command.provider_id, command.app_id) == ("0001", "0001-1", APP)
    assert command.start_at == tomorrow()
    assert command.patient is None
    assert await patient_in(stage, command) == b'{"id":"patient-1"}'
    assert command.accept_by > command.accepted_at


async def test_a_range_and_a_clinic_are_appended_as_they_are(app: Caller, stage: Stage, key: str) -> None:
    times = {"from": tomorrow(8).isoformat(), "to": tomorrow(12).isoformat()}
    answer = await app.book(key, wish(None, clinic_id="0002", start_at=None, range=times))
    (command,) = await commands_of(stage, answer.body["booking_ref"])
    assert isinstance(command, Book)
    assert command.provider_id is None
    assert command.start_at is None
    assert command.range is not None
    assert (command.range.from_at, command.range.to_at) == (tomorrow(8), tomorrow(12))


async def test_a_retry_is_answered_alike_and_appends_nothing(app: Caller, stage: Stage, key: str) -> None:
    first = await app.book(key)
    again = await app.book(key)
    assert again.status == 202
    assert again.body == first.body
    assert len(await commands_of(stage, first.body["booking_ref"])) == 1


async def test_retries_that_overtake_the_first_answer_share_it(app: Caller, stage: Stage, key: str) -> None:
    answers = await asyncio.gather(*(app.book(key) for _ in range(20)))
    assert {answer.status for answer in answers} == {202}
    (ref,) = {answer.body["booking_ref"] for answer in answers}
    assert len(await commands_of(stage, ref)) == 1


async def test_a_key_that_comes_with_another_body_is_refused(app: Caller, stage: Stage, key: str) -> None:
    first = await app.book(key)
    other = await app.book(key, wish("0002-1"))
    assert other.status == 422
    assert other.body["type"] == "/problems/key-reused"
    assert other.body["errors"][0]["header"] == "Idempotency-Key"
    assert len(await commands_of(stage, first.body["booking_ref"])) == 1


async def test_a_corrected_request_may_use_its_key_again(app: Caller, key: str) -> None:
    wrong = await app.book(key, wish(service_type="haircut"))
    assert wrong.body["type"] == "/problems/unknown-service"
    assert (await app.book(key)).status == 202


async def test_a_booking_can_be_read_and_cancelled_straight_after_its_202(app: Caller, stage: Stage, key: str) -> None:
    ref = (await app.book(key)).body["booking_ref"]
    read = await app.get(f"/v1/appointments/{ref.lower().replace('-', '')}")
    assert read.status == 200
    assert (read.body["status"], read.body["stage"]) == ("pending", "accepted")
    history = await app.get(f"/v1/appointments/{ref}/history")
    assert history.body == {"booking_ref": ref, "events": []}
    cancel = await app.cancel(ref, f"{key}-cancel")
    assert cancel.status == 202
    assert cancel.body["status"] == "cancelling"
    assert (await app.cancel(ref, f"{key}-cancel")).body == cancel.body
    book, told = await commands_of(stage, ref)
    assert isinstance(book, Book)
    assert isinstance(told, Cancel)
    assert told.app_id == APP


async def test_the_key_of_a_booking_cannot_cancel_it(app: Caller, key: str) -> None:
    ref = (await app.book(key)).body["booking_ref"]
    assert (await app.cancel(ref, key)).body["type"] == "/problems/key-reused"


async def test_a_booking_another_ingress_accepted_is_pending_while_nobody_holds(
    app: Caller, stage: Stage, key: str
) -> None:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as elsewhere:
        accepted = await elsewhere.book(key)
        again = await app.book(f"{key}-other")  # so that this one is not alone in its partition
        assert again.status == 202
        retried = await app.get(f"/v1/appointments/{accepted.body['booking_ref']}")
        assert (await app.book(key)).body["booking_ref"] == accepted.body["booking_ref"]
    assert retried.status == 200
    assert (retried.body["stage"], retried.body["place"], retried.body["eta"]) == ("accepted", None, None)
    assert retried.body["accepted_at"] is None


async def test_another_apps_booking_and_an_invented_one_are_the_same_404(app: Caller, stage: Stage, key: str) -> None:
    ref = (await app.book(key)).body["booking_ref"]
    async with Newcomer(stage.kafka, app.base, OwnerKind.APP, "other") as other:
        theirs = await other.get(f"/v1/appointments/{ref}")
        assert (await other.cancel(ref, key)).status == 404
        assert (await other.get(f"/v1/appointments/{ref}/events")).status == 404
    invented = await app.get(f"/v1/appointments/{REFS.derive('0001', 'nobody', key)}")
    assert theirs.status == invented.status == 404
    assert theirs.body == invented.body
    assert (await app.get("/v1/appointments/nonsense")).body == theirs.body


@pytest.mark.parametrize(
    ("kind", "owner", "scopes", "cancelled"),
    [
        (OwnerKind.CLINIC, "0001", (), 404),
        (OwnerKind.CLINIC, "0001", (Scope.CLINIC_READ,), 403),
        (OwnerKind.APP, APP, (Scope.APPOINTMENTS_READ,), 403),
        (OwnerKind.OPERATOR, "op", (), 404),
    ],
)
async def test_only_an_apps_key_that_may_write_books(
    app: Caller, stage: Stage, key: str, kind: OwnerKind, owner: str, scopes: tuple[Scope, ...], cancelled: int
) -> None:
    """A clinic and an operator cancel what is there, which this is not."""
    async with Newcomer(stage.kafka, app.base, kind, owner, *scopes) as caller:
        assert (await caller.book(key)).status == 403
        assert (await caller.cancel(REFS.derive("0001", APP, key), key)).status == cancelled


async def test_a_revoked_key_opens_nothing_any_more(app: Caller, stage: Stage) -> None:
    async with Newcomer(stage.kafka, app.base, OwnerKind.APP, "leaver") as leaver:
        await announce(stage.kafka, [structs.replace(leaver.key, revoked_at=datetime.now(UTC))])
        while (refused := await leaver.get("/v1/clinics")).status == 200:
            await asyncio.sleep(0.05)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
