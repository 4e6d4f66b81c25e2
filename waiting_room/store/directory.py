"""The directory in PostgreSQL: clinics with their providers, service types, apps and webhook endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import msgspec

from waiting_room.domain import partitions
from waiting_room.domain.directory import Clinic
from waiting_room.envelope import CannotOpen, Envelope
from waiting_room.messages import DirectoryEntry
from waiting_room.onboarding import Onboarding, ProviderEntry, webhooks_of
from waiting_room.store import directory_outbox, sql, webhook_secrets
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_secrets import NewSecret
from waiting_room.webhook_signing import Sealed, new_keys, opened, seal

_SQL = sql.load("directory")
_clinic = msgspec.json.Decoder(Clinic)
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """The file does not fit what is there; one line a mistake. The caller rolls back."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has changed; what was as the file says already is not counted."""

    clinics: tuple[str, ...]
    """Ids of clinics that are new, or whose calendar, providers or services are."""
    new_clinics: tuple[str, ...]
    apps: int
    endpoints: int
    secrets: Mapping[str, str]
    """Signing secrets made for new endpoints that came without one, by endpoint_id."""


async def lock(conn: Connection) -> None:
    """Keep others from changing or publishing the directory until the caller's transaction ends."""
    await conn.execute(_SQL["lock_directory"])


async def import_file(
    conn: Connection, file: Onboarding, clinic_partitions: int, envelope: Envelope | None = None
) -> Imported:
    """Make the directory as ``file`` says, inside the caller's transaction; a few round trips whatever its size.

    Clinics that change get new rules for hold to load and a record for relay to publish. ``envelope`` seals the secrets
    of webhook endpoints: without it the file may name none. Raises Refused.
    """
    await lock(conn)
    await _refuse_wrong_owners(conn, file)
    held = {row["clinic_id"]: row["partition"] for row in await conn.fetch(_SQL["partitions"])}
    try:
        assigned = partitions.assign(_wanted_partitions(file), held, clinic_partitions)
    except partitions.CannotAssign as error:
        raise Refused(str(error)) from error
    changed = await _write_clinics(conn, file, assigned)
    await add_missing_counters(conn)
    await _check_changed(conn, changed)
    await directory_outbox.append(conn, [DirectoryEntry(clinic=clinic) for clinic in await load(conn, changed)])
    apps = await _upsert(conn, "upsert_apps", [{"app_id": app.app_id, "name": app.name} for app in file.apps])
    endpoints, made = await _write_endpoints(conn, file, envelope)
    return Imported(tuple(changed), tuple(sorted(set(assigned) - set(held))), len(apps), endpoints, made)


async def add_missing_counters(conn: Connection) -> int:
    """Give every clinic its counter row and relay cursor. How many clinics had none."""
    added = await conn.fetch(_SQL["add_missing_counters"])
    await conn.execute(_SQL["add_missing_cursors"])
    return len(added)


async def load(conn: Connection, clinic_ids: Iterable[str] | None = None) -> list[Clinic]:
    """These clinics, or all, in order of id; as they are published."""
    wanted = None if clinic_ids is None else list(clinic_ids)
    return [_clinic.decode(row["clinic"]) for row in await conn.fetch(_SQL["load_clinics"], wanted)]


async def renew_rules(conn: Connection, clinic_ids: Sequence[str]) -> None:
    """Lock these clinics; hold loads what it knows of them anew once the caller's transaction is committed."""
    await conn.execute(_SQL["bump_rules"], clinic_ids)


def _wanted_partitions(file: Onboarding) -> dict[str, int | None]:
    return {clinic.clinic_id: clinic.partition for business in file.businesses for clinic in business.clinics}


async def _refuse_wrong_owners(conn: Connection, file: Onboarding) -> None:
    clinics = [
        {"clinic_id": clinic.clinic_id, "business_id": business.business_id}
        for business in file.businesses
        for clinic in business.clinics
    ]
    rows = await conn.fetch(
        _SQL["wrong_owners"], _json(_provider_rows(file)), _json(clinics), _json(_endpoint_rows(file))
    )
    if rows:
        raise Refused("\n".join(f"{row['kind']} {row['id']} belongs to {row['owner_id']} already" for row in rows))


async def _write_clinics(conn: Connection, file: Onboarding, assigned: Mapping[str, int]) -> list[str]:
    """The ids, ascending, of the clinics of which anything changed."""
    businesses = [
        {
            "business_id": each.business_id,
            "name": each.name,
            "cancel_notice_minutes": each.cancel_notice_minutes,
        }
        for each in file.businesses
    ]
    other_businesses = await _upsert(conn, "upsert_businesses", businesses)
    products = [
        {"business_id": business.business_id} | msgspec.structs.asdict(product)
        for business in file.businesses
        for product in business.products
    ]
    await conn.execute(_SQL["upsert_products"], _json(products))
    services = [
        {"business_id": business.business_id} | msgspec.structs.asdict(service)
        for business in file.businesses
        for service in business.service_types
    ]
    other_services = await _upsert(conn, "upsert_service_types", services)
    await conn.execute(_SQL["upsert_reminders"], _json(each for each in services if each["reminders"] is not None))
    other_days_off = await _replace_days_off(conn, file)
    changed = set(await _upsert(conn, "upsert_clinics", _clinic_rows(file, assigned)))
    changed.update(await _upsert(conn, "upsert_providers", _provider_rows(file)))
    affected = await conn.fetch(_SQL["clinics_of_businesses"], [*other_businesses, *other_services, *other_days_off])
    return sorted(changed.union(row["clinic_id"] for row in affected))


async def _replace_days_off(conn: Connection, file: Onboarding) -> list[str]:
    """The businesses whose days off have changed."""
    given = {each.business_id: each.days_off for each in file.businesses if each.days_off is not None}
    rows = [
        {"business_id": business_id} | msgspec.structs.asdict(day)
        for business_id, days in given.items()
        for day in days
    ]
    return [row["business_id"] for row in await conn.fetch(_SQL["replace_days_off"], _json(rows), list(given))]


async def _check_changed(conn: Connection, changed: Sequence[str]) -> None:
    """What needs the new rows to be in place, and the clinics locked."""
    unknown = await conn.fetch(_SQL["unknown_services"], changed)
    if unknown:
        raise Refused(
            "\n".join(f"provider {row['provider_id']}: unknown service type {row['service_type']}" for row in unknown)
        )
    unknown = await conn.fetch(_SQL["unknown_products"], changed)
    if unknown:
        raise Refused(
            "\n".join(f"service type {row['service_type']}: unknown product {row['product']}" for row in unknown)
        )
    await renew_rules(conn, changed)
    too_many = await conn.fetch(_SQL["claims_beyond_capacity"], changed)
    if too_many:
        raise Refused(
            "\n".join(
                f"provider {row['provider_id']}: capacity {row['capacity']} is too little for what is booked, "
                f"which needs {row['seats_claimed']}"
                for row in too_many
            )
        )


async def _write_endpoints(conn: Connection, file: Onboarding, envelope: Envelope | None) -> tuple[int, dict[str, str]]:
    """How many changed, and the secrets made."""
    rows = _endpoint_rows(file)
    if not rows:
        return 0, {}
    if envelope is None:
        raise Refused("WAITING_ROOM_MASTER_KEY is not set: webhook secrets cannot be kept without it")
    given = {row["endpoint_id"]: row.pop("secret") for row in rows}
    changed = set(await _upsert(conn, "upsert_endpoints", rows))
    held = await webhook_secrets.current(conn, list(given))
    new: list[NewSecret] = []
    made: dict[str, str] = {}
    for endpoint_id, secret in given.items():
        if endpoint_id in held and secret in (None, _secret_of(envelope, endpoint_id, held[endpoint_id])):
            continue
        keys = new_keys(secret)
        if secret is None:
            made[endpoint_id] = keys.secret
        new.append(NewSecret(endpoint_id, f"import-{token_hex(4)}", *seal(envelope, endpoint_id, keys)))
    await webhook_secrets.replace(conn, new, overlap_seconds=0.0)
    return len(changed.union(each.endpoint_id for each in new)), made


def _secret_of(envelope: Envelope, endpoint_id: str, sealed: Sealed) -> str:
    try:
        return opened(envelope, endpoint_id, sealed.sealed).secret
    except CannotOpen as error:
        raise Refused(f"endpoint {endpoint_id}: {error}") from error


def _clinic_rows(file: Onboarding, assigned: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for business in file.businesses:
        for clinic in business.clinics:
            fields = msgspec.structs.asdict(clinic)
            del fields["providers"], fields["webhooks"]
            yield fields | {"business_id": business.business_id, "partition": assigned[clinic.clinic_id]}


def _provider_rows(file: Onboarding) -> Iterator[dict[str, Any]]:
    for business in file.businesses:
        for clinic in business.clinics:
            for provider in clinic.providers:
                yield {
                    **msgspec.structs.asdict(provider),
                    "clinic_id": clinic.clinic_id,
                    "hours": _hours(provider),
                }


def _hours(provider: ProviderEntry) -> list[dict[str, Any]]:
    """With seconds, as a time is written in a record."""
    return [
        {
            "weekday": window.weekday,
            "opens": f"{window.opens}:00",
            "closes": f"{window.closes}:00",
            "slot_minutes": window.slot_minutes,
        }
        for window in provider.hours
    ]


def _endpoint_rows(file: Onboarding) -> list[dict[str, Any]]:
    return [
        {"owner_kind": kind, "owner_id": owner_id} | msgspec.structs.asdict(webhook)
        for kind, owner_id, webhook in webhooks_of(file)
    ]


async def _upsert(conn: Connection, statement: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The one column the statement returns, of the rows it changed."""
    return [row[0] for row in await conn.fetch(_SQL[statement], _json(rows))]


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    return _encode(list(rows)).decode()
