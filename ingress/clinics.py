"""GET /v1/clinics, /v1/clinics/{id} and /v1/clinics/{id}/providers: the directory and its lines. No database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.desk import unknown_site
from ingress.directory import Site
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.pages import PAGE_PARAMETERS, cursor_of, limit_of, next_page
from ingress.parts import Parts
from waiting_room.domain.availability.rules import Weekly
from waiting_room.domain.directory import ClinicStatus, Provider, ServiceType
from waiting_room.domain.eta import Eta
from waiting_room.domain.schedule import availability_of

CLINICS: Final = "/v1/clinics"
ClockTime = Annotated[str, msgspec.Meta(pattern=r"^\d{2}:\d{2}$")]


class ClinicLinks(msgspec.Struct, frozen=True, rename={"self_": "self"}):
    self_: str
    providers: str


class ClinicAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``next_place`` and ``eta`` (seconds): what the next booking there would get."""

    clinic_id: str
    business_id: str
    name: str
    status: ClinicStatus
    timezone: str
    service_types: tuple[ServiceType, ...]
    next_place: int
    eta: Eta | None
    links: ClinicLinks


class ClinicList(msgspec.Struct, frozen=True, kw_only=True):
    """One page; ``next`` is the address of the page after it, null on the last."""

    clinics: list[ClinicAnswer]
    next: str | None


class HoursAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A weekly window, ISO weekday (1: Monday), on the clinic's clock; a start every ``slot_minutes``. Breaks, holidays
    and single days are not told here: the slots are.
    """

    weekday: int
    opens: ClockTime
    closes: ClockTime
    slot_minutes: int
    effective_from: date | UnsetType = UNSET
    effective_until: date | UnsetType = UNSET


class ProviderLinks(msgspec.Struct, frozen=True):
    slots: str


class ProviderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    provider_id: str
    name: str
    service_types: tuple[str, ...]
    hours: tuple[HoursAnswer, ...]
    links: ProviderLinks


class ProviderList(msgspec.Struct, frozen=True, kw_only=True):
    providers: list[ProviderAnswer]


async def list_clinics(parts: Parts, request: Request) -> Response:
    parts.authenticate(dict(request.scope["headers"]))
    query = request.query_params
    limit, after = limit_of(query), cursor_of(query, str)
    sites = [site for site in parts.directory.all() if after is None or site.clinic.clinic_id > after]
    page = sites[:limit]
    more = next_page(CLINICS, {}, limit, page[-1].clinic.clinic_id) if len(sites) > limit else None
    return json_answer(ClinicList(clinics=[_told(parts, site) for site in page], next=more))


async def get_clinic(parts: Parts, request: Request) -> Response:
    return json_answer(_told(parts, _site(parts, request)))


async def list_providers(parts: Parts, request: Request) -> Response:
    providers = _site(parts, request).clinic.providers
    return json_answer(ProviderList(providers=[_provider(each) for each in providers]))


def _site(parts: Parts, request: Request) -> Site:
    parts.authenticate(dict(request.scope["headers"]))
    site = parts.directory.clinic(request.path_params["id"])
    if site is None:
        raise unknown_site()
    return site


def _told(parts: Parts, site: Site) -> ClinicAnswer:
    clinic = site.clinic
    place = parts.lines.next_place(clinic)
    address = f"{CLINICS}/{clinic.clinic_id}"
    return ClinicAnswer(
        clinic_id=clinic.clinic_id,
        business_id=clinic.business_id,
        name=clinic.name,
        status=clinic.status,
        timezone=clinic.timezone,
        service_types=clinic.service_types,
        next_place=place,
        eta=parts.lines.eta(clinic, place, datetime.now(UTC)),
        links=ClinicLinks(address, f"{address}/providers"),
    )


def _provider(provider: Provider) -> ProviderAnswer:
    return ProviderAnswer(
        provider_id=provider.provider_id,
        name=provider.name,
        service_types=provider.service_types,
        hours=tuple(_hours(rule) for rule in availability_of(provider).weekly),
        links=ProviderLinks(f"/v1/providers/{provider.provider_id}/slots"),
    )


def _hours(rule: Weekly) -> HoursAnswer:
    return HoursAnswer(
        weekday=rule.weekday,
        opens=rule.from_,
        closes=rule.to,
        slot_minutes=rule.slot_minutes,
        effective_from=rule.effective_from or UNSET,
        effective_until=rule.effective_until or UNSET,
    )


_ID: Final = Parameter(name="id", where="path", schema=STRING, description="A clinic_id.", required=True)
LIST_CLINICS: Final = Operation(
    name="clinics",
    method="GET",
    path=CLINICS,
    summary="List clinics",
    endpoint=answering(list_clinics),
    parameters=PAGE_PARAMETERS,
    answers=(Answer(status=200, description="One page, by clinic_id.", body=ClinicList),),
    problems=(
        problems.BAD_PARAMETER,
        problems.BAD_CURSOR,
    ),
)
GET_CLINIC: Final = Operation(
    name="clinic",
    method="GET",
    path=f"{CLINICS}/{{id}}",
    summary="Read a clinic",
    endpoint=answering(get_clinic),
    parameters=(_ID,),
    answers=(Answer(status=200, description="The clinic and its line.", body=ClinicAnswer),),
    problems=(problems.NOT_FOUND,),
)
LIST_PROVIDERS: Final = Operation(
    name="providers",
    method="GET",
    path=f"{CLINICS}/{{id}}/providers",
    summary="List a clinic's providers",
    endpoint=answering(list_providers),
    parameters=(_ID,),
    answers=(Answer(status=200, description="All of them.", body=ProviderList),),
    problems=(problems.NOT_FOUND,),
)
