"""The onboarding file: what is wrong in it is told with its path, before anything is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waiting_room.onboarding import BadFile, read
from waiting_room.webhook_events import CHOSEN

HOURS = {"weekday": 1, "opens": "08:00", "closes": "17:00", "slot_minutes": 20}
WEBHOOK = {"endpoint_id": "hook-1", "url": "https://clinic.example/hooks"}


def file_with(
    clinic: dict[str, Any] | None = None,
    provider: dict[str, Any] | None = None,
    days_off: list[dict[str, Any]] | None = None,
    **more: Any,
) -> bytes:
    """One business with one clinic with one provider, changed as given."""
    providers = [
        {"provider_id": "dr-1", "name": "Dr One", "service_types": ["checkup"], "hours": [HOURS], **(provider or {})}
    ]
    clinics = [
        {
            "clinic_id": "0001",
            "name": "Clinic One",
            "timezone": "Europe/Berlin",
            "adapter": "builtin",
            "providers": providers,
            **(clinic or {}),
        }
    ]
    services = [{"service_type": "checkup", "duration_minutes": 20}]
    business: dict[str, Any] = {
        "business_id": "vets",
        "name": "Vets",
        "service_types": services,
        "clinics": clinics,
        **({} if days_off is None else {"days_off": days_off}),
    }
    return json.dumps({"businesses": [business], **more}).encode()


def test_a_file_is_read_with_its_defaults() -> None:
    file = read(file_with(clinic={"webhooks": [WEBHOOK]}))
    clinic = file.businesses[0].clinics[0]
    assert clinic.partition is None
    assert clinic.providers[0].capacity == 1
    assert clinic.webhooks[0].events == CHOSEN


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"not json", "malformed"),
        (b'{"apps": [{"app_id": "\xff"}]}', "utf-8"),
        (b"\xff", "malformed"),
        (b'{"bussinesses": []}', "unknown field `bussinesses`"),
        (file_with(clinic={"clinic_id": "OOOO"}), r"\$\.businesses\[0\]\.clinics\[0\]\.clinic_id"),
        (file_with(clinic={"colour": "red"}), r"unknown field `colour` - at `\$\.businesses\[0\]\.clinics\[0\]`"),
        (file_with(provider={"capacity": 0}), r"\.providers\[0\]\.capacity"),
        (file_with(provider={"capacity": "2"}), r"\.providers\[0\]\.capacity"),
        (file_with(provider={"provider_id": "a/b"}), r"\.providers\[0\]\.provider_id"),
        (file_with(provider={"hours": [{**HOURS, "opens": "8:00"}]}), r"\.hours\[0\]\.opens"),
        (file_with(provider={"hours": [{**HOURS, "weekday": 0}]}), r"\.hours\[0\]\.weekday"),
        (file_with(provider={"hours": [{**HOURS, "closes": "07:00"}]}), r"not before closes .*\.hours\[0\]"),
        (file_with(clinic={"timezone": "Europe/Nowhere"}), r"no IANA time zone - at .*\.clinics\[0\]\.timezone"),
        (file_with(clinic={"timezone": "Europe"}), "no IANA time zone"),
        (file_with(clinic={"adapter": "rest"}), "adapter rest goes with an endpoint"),
        (file_with(clinic={"endpoint": "https://clinic.example"}), "adapter builtin goes with no endpoint"),
        (file_with(clinic={"adapter": "rest", "endpoint": "ftp://clinic.example"}), r"\.clinics\[0\]\.endpoint"),
        (file_with(clinic={"webhooks": [{**WEBHOOK, "secret": "hunter2"}]}), r"\.webhooks\[0\]\.secret"),
        (file_with(clinic={"webhooks": [{**WEBHOOK, "events": ["booking.exploded"]}]}), r"\.events\[0\]"),
        (file_with(clinic={"webhooks": [WEBHOOK, WEBHOOK]}), "endpoint_id 'hook-1' is there 2 times"),
        (file_with(apps=[{"app_id": "a", "name": "A"}] * 3), "app_id 'a' is there 3 times"),
        (file_with(days_off=[{"day": "2027-02-30", "name": "?"}]), r"\.days_off\[0\]\.day"),
        (file_with(days_off=[{"day": "2027-12-24", "name": "Eve"}] * 2), "day 2027-12-24 is there 2 times"),
    ],
)
def test_each_mistake_is_named(raw: bytes, complaint: str) -> None:
    with pytest.raises(BadFile, match=f"(?i){complaint}"):
        read(raw)


def test_all_inconsistencies_are_told_at_once() -> None:
    with pytest.raises(BadFile) as error:
        read(file_with(clinic={"timezone": "Nowhere", "adapter": "rest"}))
    assert len(str(error.value).splitlines()) == 2
