"""Onboarding files to import."""

from __future__ import annotations

from typing import Any

import msgspec

from waiting_room import onboarding
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.onboarding import Onboarding

SERVICE = {"service_type": "checkup", "duration_minutes": 20}


def provider(provider_id: str, **changes: Any) -> dict[str, Any]:
    hours = [{"weekday": day, "opens": "08:00", "closes": "18:00", "slot_minutes": 20} for day in range(1, 8)]
    return {"provider_id": provider_id, "name": "Dr", "service_types": ["checkup"], "hours": hours, **changes}


def clinic(number: int, *, doctors: int = 1, **changes: Any) -> dict[str, Any]:
    """A clinic with a REST endpoint, whose providers are ``<clinic_id>-1`` and on."""
    clinic_id = clinic_id_of_number(number)
    return {
        "clinic_id": clinic_id,
        "name": f"Clinic {number}",
        "timezone": "Europe/Berlin",
        "adapter": "rest",
        "endpoint": f"https://clinic.example/{number}",
        "providers": [provider(f"{clinic_id}-{at}") for at in range(1, doctors + 1)],
        **changes,
    }


def file_of(
    clinics: list[dict[str, Any]],
    *,
    services: tuple[dict[str, Any], ...] = (SERVICE,),
    apps: tuple[str, ...] = ("app",),
    **business_too: Any,
) -> Onboarding:
    """What ``directory import`` would read of one business with these clinics."""
    business = {"business_id": "vets", "name": "Vets", "service_types": services, "clinics": clinics, **business_too}
    plain = {"businesses": [business], "apps": [{"app_id": app, "name": app} for app in apps]}
    return onboarding.read(msgspec.json.encode(plain))
