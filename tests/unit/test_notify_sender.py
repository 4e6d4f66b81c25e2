"""What a sender does with a message whose patient does not open: it waits, fails, or goes to nobody any more."""

from __future__ import annotations

import time
from typing import Any

from tests.support.patients import VAULT
from tests.support.world import settings_for
from tests.unit.test_notify_verdict import PAUSES, begun
from waiting_room.commands import Patient
from waiting_room.envelope import Envelope, master_key
from waiting_room.patient_keys import Vault
from waiting_room.store.notifications import Settled
from workers.notify.sender import Sender

NOTHING: Any = None
ANNA = Patient(id="anna", contact={"sms": "+4366012345"})


async def outcome(patient_key: bytes | None, patient: bytes | None, attempts: int) -> Settled:
    sender = Sender(settings_for(None, None), NOTHING, VAULT, NOTHING, {})
    message = begun(patient_key=patient_key, patient=patient, attempts=attempts)
    await sender._deliver(message, time.clock_gettime(time.CLOCK_BOOTTIME))
    [settled] = sender._ended
    return settled


async def test_a_message_waits_for_a_master_key_that_only_this_process_lacks() -> None:
    """It failed for good after twenty seconds, and its patient was never told."""
    key, wrapped = Vault(Envelope(master_key("another" * 8))).new_key()
    settled = await outcome(wrapped, key.seal(ANNA), attempts=len(PAUSES))
    assert (settled.state, settled.tried, settled.error) == ("due", False, "UnknownMasterKey")
    assert settled.again_in_seconds


async def test_what_is_spoilt_fails_when_it_was_tried_often_enough() -> None:
    key, wrapped = VAULT.new_key()
    spoilt = key.seal(ANNA)[:-1]
    assert (await outcome(wrapped, spoilt, attempts=0)).state == "due"
    assert (await outcome(wrapped, spoilt, attempts=len(PAUSES))).state == "failed"


async def test_who_was_erased_is_told_nothing() -> None:
    key, _ = VAULT.new_key()
    assert (await outcome(None, key.seal(ANNA), attempts=0)).state == "dropped"
