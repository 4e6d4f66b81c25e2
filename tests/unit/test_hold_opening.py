"""What hold makes of sealed patients that do not open: one booking is rejected for it, and no worker dies of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaError
from structlog.testing import capture_logs

from tests.support.commands import appended, book
from tests.support.world import clinics, settings_for
from waiting_room import intake_keys
from waiting_room.commands import Book
from waiting_room.envelope import Envelope, UnknownMasterKey, master_key
from waiting_room.messages import IntakeKeyRecord, encode
from workers.hold import opening as of_hold
from workers.hold.opening import Opening
from workers.hold.read import Appended

ENVELOPE = Envelope(master_key("m" * 32))
KEY, KEY_RECORD = intake_keys.make(ENVELOPE, datetime.now(UTC))


def opening(record: IntakeKeyRecord) -> Opening:
    """One that has read this record."""
    made = Opening(settings_for(None, None), ENVELOPE)
    made._keys.apply(record.key_id, encode(record))
    return made


def sealed(**changes: Any) -> Book:
    command = book(clinics(1)[0], "a")
    seals = {"sealed": KEY.seal(b'{"id":"anna"}', command.booking_ref), "intake_key": KEY.key_id}
    return msgspec.structs.replace(command, patient=None, **(seals | changes))


async def test_a_sealed_patient_is_opened() -> None:
    [item], unopened = await opening(KEY_RECORD).open(appended(sealed()))
    assert isinstance(item, Appended)
    assert isinstance(item.command, Book)
    assert item.command.patient is not None
    assert (item.command.patient.id, unopened) == ("anna", [])


@pytest.mark.parametrize(
    ("record", "command"),
    [
        (KEY_RECORD, sealed(sealed=b"not what was sealed")),
        (KEY_RECORD, sealed(intake_key=None)),
        (msgspec.structs.replace(KEY_RECORD, wrapped=KEY_RECORD.wrapped[:-1] + b"\x00\x01"), sealed()),
        (msgspec.structs.replace(KEY_RECORD, wrapped=b"no key"), sealed()),
    ],
    ids=["patient", "key not named", "key spoilt", "no key"],
)
async def test_one_that_does_not_open_is_told_with_its_booking(record: IntakeKeyRecord, command: Book) -> None:
    items, unopened = await opening(record).open(appended(command))
    assert [item for item, _ in unopened] == items


async def test_nothing_is_decided_for_want_of_a_master_key() -> None:
    _, record = intake_keys.make(Envelope(master_key("o" * 32)), datetime.now(UTC))
    command = sealed(intake_key=record.key_id)
    with pytest.raises(UnknownMasterKey):
        await opening(record).open(appended(command))


@pytest.mark.parametrize(("tell_every_seconds", "told"), [(float("inf"), 0), (0.0, 100)])
async def test_while_kafka_is_away_it_is_said_now_and_then_and_not_at_each_look(
    monkeypatch: pytest.MonkeyPatch, tell_every_seconds: float, told: int
) -> None:
    away = iter(range(100))

    async def end_offset(*_: object) -> int:
        if next(away, None) is not None:
            raise KafkaError("not connected")
        return 0

    made = Opening(settings_for(None, None), ENVELOPE)
    monkeypatch.setattr(made._follower, "end_offset", end_offset)
    monkeypatch.setattr(of_hold, "_LOOK_EVERY_SECONDS", 0)
    monkeypatch.setattr(of_hold, "_TELL_EVERY_SECONDS", tell_every_seconds)
    with capture_logs() as logs:
        await made.open(appended(sealed()))
    assert [(line["event"], line["error"]) for line in logs[:100]] == [("intake_keys_late", "KafkaError")] * told
