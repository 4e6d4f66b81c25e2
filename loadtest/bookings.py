"""Booking requests as patient apps would post them, made up from a seed.

Each is for a new patient, at a clinic, provider and service drawn from those the stack offers. Most name a
range and take what fits; a share names an exact start that many others name too (contested); a share
repeats an earlier request with its key, as an app does that did not hear the answer.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from loadtest.send import Request

Share = Annotated[float, Meta(ge=0, le=1)]
PATH = "/v1/appointments"

_REPEATABLE = 1000  # a repeat is of one of this many requests before it
_encode = msgspec.json.Encoder().encode


class StackClinic(msgspec.Struct, frozen=True):
    """One clinic of the running stack."""

    id: str
    provider_ids: Annotated[tuple[str, ...], Meta(min_length=1)]
    service_types: Annotated[tuple[str, ...], Meta(min_length=1)]


class Stack(msgspec.Struct, frozen=True):
    """`.run/stack.json`, as far as a sender needs it."""

    clinics: Annotated[tuple[StackClinic, ...], Meta(min_length=1)]


class Mix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bookings ask for. Ranges are [range_from, range_from + range_days).

    Contested starts are `contested_slots` times, `slot_minutes` apart, from `contested_from` on.
    """

    range_from: datetime
    contested_from: datetime
    range_days: Annotated[int, Meta(ge=1)] = 14
    contested_share: Share = 0.0
    contested_slots: Annotated[int, Meta(ge=1)] = 4
    slot_minutes: Annotated[int, Meta(ge=1)] = 15
    repeat_share: Share = 0.0


def mix_from(now: datetime, contested_share: float = 0.0, repeat_share: float = 0.0) -> Mix:
    """Ranges from tomorrow on, contested starts from 10:00 UTC on the next weekday after today."""
    tomorrow = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    weekend_days = 7 - tomorrow.weekday() if tomorrow.weekday() >= 5 else 0
    contested_from = tomorrow + timedelta(days=weekend_days, hours=10)
    return Mix(tomorrow, contested_from, contested_share=contested_share, repeat_share=repeat_share)


def load_stack(path: Path) -> Stack:
    """Raises OSError, msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Stack)


def bookings(stack: Stack, app_key: str, mix: Mix, seed: int, *, reachable: bool = False) -> Iterator[Request]:
    """Booking POSTs without end; the same arguments give the same ones. ``reachable``: patients want to be told."""
    random = Random(seed)
    authorization = f"Bearer {app_key}"
    range_to = mix.range_from + timedelta(days=mix.range_days)
    wanted_range = {"from": mix.range_from, "to": range_to}
    contested = [mix.contested_from + timedelta(minutes=mix.slot_minutes * n) for n in range(mix.contested_slots)]
    earlier: deque[Request] = deque(maxlen=_REPEATABLE)
    patients = 0
    while True:
        if earlier and random.random() < mix.repeat_share:
            yield random.choice(earlier)
            continue
        patients += 1
        clinic = random.choice(stack.clinics)
        when: dict[str, object] = {"range": wanted_range}
        if random.random() < mix.contested_share:
            when = {"start_at": random.choice(contested)}
        body = {
            "provider_id": random.choice(clinic.provider_ids),
            "service_type": random.choice(clinic.service_types),
            "patient": {"id": f"load-{seed}-{patients}", **(_contact(patients) if reachable else {})},
            **when,
        }
        key = str(UUID(int=random.getrandbits(128), version=4))
        headers = {
            "Authorization": authorization,
            "Idempotency-Key": key,
            "Content-Type": "application/json",
        }
        request = Request("POST", PATH, headers, _encode(body), key, clinic.id)
        earlier.append(request)
        yield request


def _contact(patient: int) -> dict[str, object]:
    """By email, SMS and push in turn, in English and German."""
    address = {
        "email": f"patient-{patient}@patients.example",
        "sms": f"+49{patient:08}",
        "push": f"token-{patient}",
    }
    channel = list(address)[patient % 3]
    return {"contact": {channel: address[channel]}, "locale": ("en", "de-DE")[patient % 2]}
