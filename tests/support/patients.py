"""Patients as tables keep them: found by a tag, sealed under a key of their own."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.support.commands import APP
from tests.support.world import MASTER_KEY, PATIENT_SECRET
from waiting_room.envelope import Envelope, master_key
from waiting_room.patient_keys import PatientTags, Vault
from waiting_room.store import patient_keys
from waiting_room.store.patient_keys import NewKey
from waiting_room.store.pool import Connection
from workers.hold.patients import Known

TAGS = PatientTags(PATIENT_SECRET.encode())
VAULT = Vault(Envelope(master_key(MASTER_KEY)))
WHOM = Known(TAGS, VAULT)


def tag(patient_id: str, app_id: str = APP) -> str:
    return TAGS.of(app_id, patient_id)


async def sealed(conn: Connection, patient: dict[str, Any], app_id: str = APP) -> tuple[str, bytes]:
    """(tag, sealed) of a patient, whose key is stored now if it was not."""
    whose = app_id, tag(str(patient.get("id", "")), app_id)
    found = await patient_keys.find(conn, [whose])
    if found:
        key = VAULT.key(found[whose])
    else:
        key, wrapped = VAULT.new_key()
        await patient_keys.add(conn, [NewKey(*whose, wrapped)])
    return whose[1], key.seal_json(msgspec.json.encode(patient))
