"""The file that businesses, clinics and apps are onboarded with: JSON, checked in full before anything is written.

Importing is an upsert: what the file names becomes as the file says, what it leaves out stays as it is. docs/
onboarding.md shows one. Every mistake is told with its path in the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Set
from datetime import date
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

import msgspec
from msgspec import Meta

from waiting_room.domain.directory import GENERAL_POOL, AdapterKind, ClinicStatus, Eligibility
from waiting_room.domain.reminders import leads_of
from waiting_room.webhook_events import CHOSEN, PayloadKind

Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._~-]{0,63}\Z")]
"""Safe in a URL, a header and a log line."""
ClinicId = Annotated[str, Meta(pattern=r"\A[0-9A-HJKMNP-TV-Z]{4}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Url = Annotated[str, Meta(pattern=r"\Ahttps?://[^\s/]+\S*\Z", max_length=2_000)]
WallTime = Annotated[str, Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
Minutes = Annotated[int, Meta(ge=1, le=1_440)]
Notice = Annotated[int, Meta(ge=0, le=43_200)]
Secret = Annotated[str, Meta(pattern=r"\Awhsec_[A-Za-z0-9+/]{32,88}={0,2}\Z")]
"""Standard Webhooks: base64 of 24 to 64 random bytes."""

EventName = Annotated[str, Meta(pattern=rf"\A({'|'.join(map(re.escape, CHOSEN))})\Z")]


class BadFile(ValueError):
    """The file cannot be imported; one line a mistake."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ProductEntry(_Entry, frozen=True, kw_only=True):
    """What is kept in stock."""

    product: Id
    name: Name


class ConsumesEntry(_Entry, frozen=True, kw_only=True):
    """What one appointment takes of a product, and from which pool of it."""

    product: Id
    doses: Annotated[int, Meta(ge=1, le=100)] = 1
    pool: Id = GENERAL_POOL


class ServiceTypeEntry(_Entry, frozen=True, kw_only=True):
    service_type: Id
    duration_minutes: Minutes
    buffer_minutes: Annotated[int, Meta(ge=0, le=1_440)] = 0
    reminders: Annotated[tuple[str, ...], Meta(max_length=8)] | None = None
    """How long before: ``("24h", "1h")``. None leaves it as it is, for a new one at what the settings say."""
    description: Annotated[str, Meta(max_length=2_000)] = ""
    consumes: Annotated[tuple[ConsumesEntry, ...], Meta(max_length=8)] = ()
    cancel_notice_minutes: Notice | None = None
    """How long before its start a patient may still cancel it; None is as the business has it."""
    one_active: bool = False
    interval_days: Annotated[int, Meta(ge=1, le=730)] | None = None
    interval_after: Id | None = None
    offer_minutes: Minutes = 30
    """How long who waits for it may think about a seat that is offered."""
    offer_to_all: bool = False
    """Tell all whom a free seat fits, and the first to accept has it; else they are asked one by one."""
    eligibility: Eligibility = Eligibility.NONE
    """Whether a patient's right to it is asked for, and what happens while nobody can say."""


class DayOffEntry(_Entry, frozen=True, kw_only=True):
    """A day on which nobody of the business works, by each clinic's calendar."""

    day: date
    name: Name


class HoursEntry(_Entry, frozen=True, kw_only=True):
    """A weekly window on the clinic's clock; ISO weekday, 1 is Monday."""

    weekday: Annotated[int, Meta(ge=1, le=7)]
    opens: WallTime
    closes: WallTime
    slot_minutes: Minutes


class ProviderEntry(_Entry, frozen=True, kw_only=True):
    provider_id: Id
    name: Name
    capacity: Annotated[int, Meta(ge=1, le=1_000)] = 1
    service_types: Annotated[tuple[Id, ...], Meta(min_length=1)]
    hours: tuple[HoursEntry, ...]


class WebhookEntry(_Entry, frozen=True, kw_only=True):
    """Without a secret a new endpoint gets one and a known one keeps its own."""

    endpoint_id: Id
    url: Url
    events: Annotated[tuple[EventName, ...], Meta(min_length=1)] = CHOSEN
    secret: Secret | None = None
    payload: PayloadKind = PayloadKind.THIN
    active: bool = True


class ClinicEntry(_Entry, frozen=True, kw_only=True):
    """``partition`` is chosen for a new clinic that names none: the one with the fewest clinics."""

    clinic_id: ClinicId
    name: Name
    timezone: str
    adapter: AdapterKind
    endpoint: Url | None = None
    status: ClinicStatus = ClinicStatus.OPEN
    declared_concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 4
    settle_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    honours_idempotency: bool = True
    has_lookup: bool = True
    reports_changes: bool = False
    """Whether its system can be asked what has happened there beside us: clinic_adapter/rest_changes.py."""
    wait_ceiling_seconds: Annotated[int, Meta(ge=1, le=604_800)] = 1_800
    no_show_after_minutes: Annotated[int, Meta(ge=0, le=1_440)] | None = None
    """How long a patient who has not arrived is waited for; None where the clinic does not say who arrives."""
    partition: Annotated[int, Meta(ge=0, lt=4_096)] | None = None
    providers: tuple[ProviderEntry, ...] = ()
    webhooks: tuple[WebhookEntry, ...] = ()


class BusinessEntry(_Entry, frozen=True, kw_only=True):
    business_id: Id
    name: Name
    cancel_notice_minutes: Notice = 1_440
    products: tuple[ProductEntry, ...] = ()
    service_types: tuple[ServiceTypeEntry, ...] = ()
    days_off: tuple[DayOffEntry, ...] | None = None
    """All of them, if it is there at all."""
    clinics: tuple[ClinicEntry, ...] = ()


class AppEntry(_Entry, frozen=True, kw_only=True):
    app_id: Id
    name: Name
    webhooks: tuple[WebhookEntry, ...] = ()


class Onboarding(_Entry, frozen=True, kw_only=True):
    """The whole file."""

    businesses: tuple[BusinessEntry, ...] = ()
    apps: tuple[AppEntry, ...] = ()


_decoder = msgspec.json.Decoder(Onboarding)


def read(raw: bytes) -> Onboarding:
    """The file, every rule that needs no database checked. Raises BadFile."""
    try:
        file = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFile(str(error)) from error
    if mistakes := [*_named_twice(file), *_inconsistent(file)]:
        raise BadFile("\n".join(mistakes))
    return file


def _named_twice(file: Onboarding) -> Iterator[str]:
    names = {
        "business_id": [business.business_id for business in file.businesses],
        "clinic_id": [clinic.clinic_id for business in file.businesses for clinic in business.clinics],
        "provider_id": [
            provider.provider_id
            for business in file.businesses
            for clinic in business.clinics
            for provider in clinic.providers
        ],
        "app_id": [app.app_id for app in file.apps],
        "endpoint_id": [webhook.endpoint_id for _, _, webhook in webhooks_of(file)],
    }
    for kind, given in names.items():
        yield from (f"{kind} {name!r} is there {times} times" for name, times in Counter(given).items() if times > 1)
    for at, business in enumerate(file.businesses):
        services = Counter(service.service_type for service in business.service_types)
        for name, times in services.items():
            if times > 1:
                yield f"service_type {name!r} is there {times} times - at `$.businesses[{at}].service_types`"
        days = Counter(each.day for each in business.days_off or ())
        for day, times in days.items():
            if times > 1:
                yield f"day {day} is there {times} times - at `$.businesses[{at}].days_off`"
        products = Counter(product.product for product in business.products)
        for name, times in products.items():
            if times > 1:
                yield f"product {name!r} is there {times} times - at `$.businesses[{at}].products`"
        for at_service, service in enumerate(business.service_types):
            if service.interval_after is not None and service.interval_after not in services:
                path = f"$.businesses[{at}].service_types[{at_service}].interval_after"
                yield f"there is no service_type {service.interval_after!r} - at `{path}`"
            if len({each.product for each in service.consumes}) < len(service.consumes):
                path = f"$.businesses[{at}].service_types[{at_service}].consumes"
                yield f"service_type {service.service_type!r} names a product twice - at `{path}`"


def _inconsistent(file: Onboarding) -> Iterator[str]:
    for at_business, business in enumerate(file.businesses):
        for at_service, service in enumerate(business.service_types):
            try:
                leads_of(service.reminders or ())
            except ValueError as error:
                yield f"{error} - at `$.businesses[{at_business}].service_types[{at_service}].reminders`"
        for at_clinic, clinic in enumerate(business.clinics):
            path = f"$.businesses[{at_business}].clinics[{at_clinic}]"
            if clinic.timezone not in _zones():
                yield f"{clinic.timezone!r} is no IANA time zone - at `{path}.timezone`"
            if (clinic.endpoint is None) != (clinic.adapter is AdapterKind.BUILTIN):
                needs = "no endpoint" if clinic.endpoint else "an endpoint"
                yield f"adapter {clinic.adapter} goes with {needs} - at `{path}.endpoint`"
            for at_provider, provider in enumerate(clinic.providers):
                for at_window, window in enumerate(provider.hours):
                    if window.opens >= window.closes:
                        where = f"{path}.providers[{at_provider}].hours[{at_window}]"
                        yield f"opens {window.opens} is not before closes {window.closes} - at `{where}`"


@cache
def _zones() -> Set[str]:
    return frozenset(available_timezones())


def webhooks_of(file: Onboarding) -> Iterator[tuple[str, str, WebhookEntry]]:
    """(owner_kind, owner_id, endpoint) of every endpoint in the file."""
    for business in file.businesses:
        for clinic in business.clinics:
            yield from (("clinic", clinic.clinic_id, webhook) for webhook in clinic.webhooks)
    for app in file.apps:
        yield from (("app", app.app_id, webhook) for webhook in app.webhooks)
