"""The world a stack is filled with: clinics, their simulated systems, one app, and who gets webhooks."""

from __future__ import annotations

import base64
import random
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from waiting_room.domain.appointment import PUBLIC_EVENTS
from waiting_room.domain.booking_ref import clinic_id_of_number

BUSINESS = "demo-health"
APP = "demo-app"
SERVICES = {"consultation": 30, "vaccination": 15}
VACCINE = "vaccine"
OPENING = [{"weekday": day, "opens": "07:00", "closes": "19:00", "slot_minutes": 15} for day in range(1, 8)]
TIMEZONE = "Europe/Berlin"
HIDDEN_DECLARED = 64
DECISIONS = ["booking.confirmed", "booking.rejected", "booking.cancelled"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a world, and what goes wrong in it. ``slow``, ``down`` and ``hanging`` are numbers of clinics."""

    clinics: int = 20
    providers: int = 3
    partitions: int = 24
    instant_clinics: bool = False
    builtin_clinics: bool = False
    slow: int = 1
    down: int = 1
    down_from_seconds: float = 10.0
    down_for_seconds: float = 30.0
    hanging: int = 0
    """These never answer anything."""
    slow_factor: float = 4.0
    call_seconds: float | None = None
    """Mean of a clinic call; None is the simulator's own 1-3 s."""
    hidden: bool = False
    """Clinics declare far more than they take, which is 1 to 8 calls; every other one turns away what is more, the
    others only get slower."""
    time_scale: float = 1.0
    """Multiplies every duration of the simulated clinics."""
    faulty: bool = False
    """Every clinic now and then fails, drops the connection after booking, or books after the caller gave up."""
    webhooks: bool = True
    all_events: bool = False
    """Whether webhook endpoints ask for every event, so that a gap in a booking's numbers is seen."""
    stocked: bool = False
    """Vaccinations take a dose, of stock that somebody has to enter."""
    reports_changes: bool = False
    """Whether the clinics' systems can be asked what was booked and cancelled there by phone."""
    eligibility: str = "none"
    """What vaccinations ask for: ``none``, ``fail_open`` or ``fail_closed``; with a simulated system to ask."""
    wait_ceiling_seconds: int | None = None
    """Of every clinic; None is the product's own half hour."""
    seed: int = 1

    @classmethod
    def partitions_for(cls, clinics: int) -> int:
        """One partition a clinic, at least 24, at most 512."""
        return max(24, min(512, clinics))


@dataclass(frozen=True)
class World:
    """``onboarding`` is the file that is imported; ``behaviours`` and ``webhook_secrets`` go to the simulators."""

    onboarding: bytes
    behaviours: bytes
    webhook_secrets: bytes
    clinics: list[dict[str, Any]]
    """As in stack.json: id, provider_ids, service_types, simulator_url, and what is special about the clinic."""


def build(shape: Shape, clinics_url: str, receiver_url: str) -> World:
    """The same shape and seed give the same clinics; webhook secrets are new each time."""
    chance = random.Random(shape.seed)
    entries, behaviours, listed, hook_secrets = [], {}, [], {}
    for number in range(1, shape.clinics + 1):
        clinic_id = clinic_id_of_number(number)
        capacity = 1 + (number - 1) % 16 // 2 if shape.hidden else chance.randint(4, 8)
        kind = _kind(number, shape)
        endpoint = None if shape.builtin_clinics else f"{clinics_url}/clinics/{clinic_id}"
        providers = [f"{clinic_id}-{position}" for position in range(1, shape.providers + 1)]
        webhooks = []
        if shape.webhooks:
            hook_secrets[f"hook-{clinic_id}"] = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
            webhooks = [_webhook(f"hook-{clinic_id}", receiver_url, hook_secrets, shape)]
        entries.append(
            {
                "clinic_id": clinic_id,
                "name": f"Clinic {number}",
                "timezone": TIMEZONE,
                "adapter": "builtin" if endpoint is None else "rest",
                "endpoint": endpoint,
                "declared_concurrency": HIDDEN_DECLARED if shape.hidden else capacity,
                "settle_seconds": 31.0 * shape.time_scale if shape.hidden else 3.0,
                "reports_changes": shape.reports_changes and endpoint is not None,
                "partition": (number - 1) % shape.partitions,
                "providers": [
                    {
                        "provider_id": provider_id,
                        "name": f"Dr {provider_id}",
                        "service_types": sorted(SERVICES),
                        "hours": OPENING,
                    }
                    for provider_id in providers
                ],
                "webhooks": webhooks,
                **({} if shape.wait_ceiling_seconds is None else {"wait_ceiling_seconds": shape.wait_ceiling_seconds}),
            }
        )
        behaviours[clinic_id] = _behaviour(kind, capacity, shape)
        if shape.hidden:
            behaviours[clinic_id] |= {"processing_limit": 30.0, "overload": "slow" if number % 2 else "reject"}
        listed.append(
            {
                "id": clinic_id,
                "provider_ids": providers,
                "service_types": sorted(SERVICES),
                "simulator_url": endpoint,
                "kind": kind,
                "capacity": capacity,
            }
        )
    file = {
        "businesses": [
            {
                "business_id": BUSINESS,
                "name": "Demo Health",
                "products": [{"product": VACCINE, "name": "Vaccine"}],
                "service_types": [_service(name, shape) for name in sorted(SERVICES)],
                "clinics": entries,
            }
        ],
        "apps": [{"app_id": APP, "name": "Demo app"}],
    }
    return World(
        msgspec.json.encode(file),
        msgspec.json.encode({"clinics": behaviours}),
        msgspec.json.encode(hook_secrets),
        listed,
    )


def _service(name: str, shape: Shape) -> dict[str, Any]:
    takes = [{"product": VACCINE}] if shape.stocked and name == "vaccination" else []
    asks = shape.eligibility if name == "vaccination" else "none"
    return {"service_type": name, "duration_minutes": SERVICES[name], "consumes": takes, "eligibility": asks}


def _kind(number: int, shape: Shape) -> str:
    if number <= shape.slow:
        return "slow"
    if number <= shape.slow + shape.down:
        return "down"
    return "hanging" if number <= shape.slow + shape.down + shape.hanging else "healthy"


def _behaviour(kind: str, capacity: int, shape: Shape) -> dict[str, Any]:
    behaviour: dict[str, Any] = {"capacity": capacity, "instant": shape.instant_clinics, "processing_limit": 2.5}
    if shape.time_scale != 1.0:
        behaviour["time_scale"] = shape.time_scale
    if shape.call_seconds is not None:
        behaviour |= {"latency_mean": shape.call_seconds, "latency_min": min(0.05, shape.call_seconds)}
    if shape.faulty:
        behaviour |= {"error_rate": 0.03, "drop_rate": 0.04, "late_rate": 0.02, "late_after": 2.0, "hang_rate": 0.01}
    if kind == "slow":
        behaviour["slow_factor"] = shape.slow_factor
    if kind == "down":
        to_second = shape.down_from_seconds + shape.down_for_seconds
        behaviour["outages"] = [{"from_second": shape.down_from_seconds, "to_second": to_second, "kind": "503"}]
    if kind == "hanging":
        behaviour["down"] = "hang"
    return behaviour


def _webhook(endpoint_id: str, receiver_url: str, hook_secrets: dict[str, str], shape: Shape) -> dict[str, Any]:
    return {
        "endpoint_id": endpoint_id,
        "url": f"{receiver_url}/hooks/{endpoint_id}",
        "events": sorted(PUBLIC_EVENTS) if shape.all_events else DECISIONS,
        "secret": hook_secrets[endpoint_id],
    }
