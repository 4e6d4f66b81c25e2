"""Patients forgotten by hand and by time, their keys wrapped anew, and what was plain sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.cli import Said, waiting_room
from tests.support.commands import APP
from tests.support.database import Database
from tests.support.gateways import gateways
from tests.support.notifying import notify
from tests.support.patients import TAGS, VAULT, tag
from tests.support.world import MASTER_KEY, clinics, seed, settings_for
from tests.support.written import CONFIRMED, HELD, plant
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.envelope import Envelope, master_key
from waiting_room.messages import Patient
from waiting_room.patient_keys import Vault
from waiting_room.store import erasure, patient_keys
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection, create_pool
from workers.sweep.forget import forget

[SPEC] = clinics(1)
REJECTED = (*HELD, EventType.REJECTED)
NEW_KEY = "a new master key for tests, of 32 and more characters"


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    async with database.owner() as connection:
        await seed(connection, [SPEC])
        yield connection


async def over(owner: Connection, number: int, patient_id: str) -> Booking:
    """A booking that came to nothing."""
    patient = {"id": patient_id, "contact": {"email": f"{patient_id}@patients.example"}}
    return await plant(owner, SPEC, number, REJECTED, patient=patient, reason=Reason.SLOT_TAKEN)


async def opened(owner: Connection, vault: Vault = VAULT) -> dict[str, str | None]:
    """Whom each booking is for, by its ref, as far as this vault can tell."""
    rows = await owner.fetch(
        "SELECT a.booking_ref, a.patient, k.wrapped FROM appointments AS a "
        "LEFT JOIN patient_keys AS k ON a.app_id = k.app_id AND a.patient_id = k.patient_id"
    )
    patients = {row["booking_ref"]: vault.open(row["wrapped"], row["patient"]) for row in rows}
    return {ref: None if patient is None else patient.id for ref, patient in patients.items()}


async def erase(database: Database, patient_id: str) -> Said:
    return await waiting_room("patients", "erase", "--app", APP, database=database, stdin=f"{patient_id}\n")


async def test_an_operator_forgets_a_patient_whose_id_stands_in_no_command(
    database: Database, owner: Connection
) -> None:
    gone, other = await over(owner, 1, "anna"), await over(owner, 2, "ben")
    await plant(owner, SPEC, 3, CONFIRMED, patient={"id": "carla"})
    assert await erase(database, "anna") == Said(0, "forgotten; 1 bookings stay without their patient\n", "")
    assert await erase(database, "anna") == Said(1, "", "nothing is known of this patient of app\n")
    found = await opened(owner)
    assert (found[gone.booking_ref], found[other.booking_ref]) == (None, "ben")
    refused = await erase(database, "carla")
    assert (refused.status, "cancel them first" in refused.err) == (1, True)
    assert (await waiting_room("patients", "erase", "--app", APP, database=database, stdin="")).status == 2


async def test_keys_are_wrapped_under_a_new_master_key(database: Database, owner: Connection) -> None:
    refs = {(await over(owner, number, name)).booking_ref: name for number, name in enumerate(("anna", "ben"), 1)}
    lost = await waiting_room("patients", "rewrap", database=database, master_key=NEW_KEY)
    assert (lost.status, lost.err.count("\n")) == (1, 1)
    both = Vault(Envelope(master_key(NEW_KEY), [master_key(MASTER_KEY)]))
    assert await opened(owner, both) == refs
    for count in (2, 0):
        said = await waiting_room(
            "patients", "rewrap", database=database, master_key=NEW_KEY, master_keys_retired=MASTER_KEY
        )
        assert said.out.startswith(f"{count} keys wrapped under the current master key\n")
    assert await opened(owner, Vault(Envelope(master_key(NEW_KEY)))) == refs


async def test_what_was_stored_before_there_were_keys_is_sealed(database: Database, owner: Connection) -> None:
    planted = [await plant(owner, SPEC, number, REJECTED, reason=Reason.SLOT_TAKEN) for number in (1, 2)]
    await owner.execute("INSERT INTO unsubscribed VALUES ('app', 'patient', 'email')")
    await owner.execute(
        "INSERT INTO patient_claims VALUES ('0001', $1, 'app', 'patient', 0, 'demo', 'x', now()::date, FALSE, TRUE)",
        planted[0].booking_ref,
    )
    for count in (2, 0):
        said = await waiting_room("patients", "seal", database=database)
        assert said == Said(0, f"{count} bookings sealed\n", "")
    assert await opened(owner) == {booking.booking_ref: "patient" for booking in planted}
    for table in ("appointments", "unsubscribed", "patient_claims"):
        assert await owner.fetchval(f"SELECT array_agg(DISTINCT patient_id) FROM {table}") == [tag("patient")]
    assert not await owner.fetchval("SELECT count(*) FROM appointments WHERE get_byte(patient, 0) <> 1")


async def test_who_has_not_come_for_long_is_forgotten(database: Database, owner: Connection) -> None:
    now = datetime.now(UTC)
    days = {"long ago": 400, "lately": 10, "still wanted": 400, "unknown": 400}
    for number, (patient_id, ago) in enumerate(days.items(), 1):
        events = CONFIRMED if patient_id == "still wanted" else REJECTED
        booking = await plant(
            owner,
            SPEC,
            number,
            events,
            patient={"id": patient_id},
            since=now - timedelta(days=ago),
            reason=Reason.SLOT_TAKEN,
        )
        if patient_id != "still wanted":
            await owner.execute(
                "UPDATE appointments SET start_at = $2, end_at = $2 WHERE booking_ref = $1",
                booking.booking_ref,
                now - timedelta(days=ago),
            )
    await owner.execute("UPDATE appointments SET patient_id = NULL WHERE patient_id = $1", tag("unknown"))
    await owner.execute("UPDATE patient_keys SET used_until = now() - interval '400 days'")
    pool = await create_pool(settings_for(database, None, "sweep"), "sweep")
    try:
        assert await forget(pool, keep_days=365) == 2
        assert await forget(pool, keep_days=365) == 0
    finally:
        pool.terminate()
    left = await owner.fetch("SELECT patient_id, now() - used_until < interval '365 days' AS later FROM patient_keys")
    assert {(row["patient_id"], row["later"]) for row in left} == {(tag("lately"), True), (tag("still wanted"), True)}


async def test_nobody_writes_to_who_was_forgotten(database: Database, owner: Connection) -> None:
    await over(owner, 1, "anna")
    async with gateways() as post, notify(database, post) as at_work:
        await at_work.take()
        async with owner.transaction():
            erased = await erasure.erase(owner, (APP, tag("anna")))
        assert (erased.bookings, erased.known) == (1, True)
        async with at_work.sending():
            [row] = await at_work.settled()
        assert (row["state"], row["last_error"]) == ("dropped", "erased")
        assert not post.ledger.sent


async def test_a_key_that_was_just_forgotten_opens_nothing_that_is_left(owner: Connection) -> None:
    """As after a restore that brings back old rows."""
    booking = await over(owner, 1, "anna")
    sealed = await owner.fetchval("SELECT patient FROM appointments WHERE booking_ref = $1", booking.booking_ref)
    async with owner.transaction():
        await erasure.erase(owner, (APP, tag("anna")))
    await over(owner, 2, "anna")
    keys = await patient_keys.find(owner, [(APP, tag("anna"))])
    assert VAULT.open(keys[APP, tag("anna")], sealed) is None
    assert VAULT.key(keys[APP, tag("anna")]).seal(Patient(id="anna")) != sealed
    assert TAGS.of(APP, "anna") == tag("anna")
