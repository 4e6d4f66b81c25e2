"""What everything about a provider's calendar needs of a request: whose it is, who asks, and which version they saw."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request

from ingress import problems
from ingress.access import require_scope
from ingress.directory import Site
from ingress.operation import STRING, Parameter
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field, wrong_header
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.availability.fit import Booked, Why
from waiting_room.messages import AccessKey

PROVIDERS: Final = "/v1/providers"
ENTRY_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._~@-]{0,127}$"
EntryId = Annotated[str, Meta(pattern=ENTRY_PATTERN + r"(?!\n)")]
_ENTRY = re.compile(ENTRY_PATTERN[1:-1])
_TAG = re.compile(r"(?:W/)?\"([!#-~]*)\"")
_FIRST_YEAR, _LAST_YEAR = 2000, 2200


class Unfit(msgspec.Struct, frozen=True, kw_only=True):
    """A booking that the calendar as it is now would not allow. It stands until its clinic moves or cancels it."""

    booking_ref: str
    status: str
    service_type: str | None
    start_at: datetime
    end_at: datetime
    why: Why


def told(found: Iterable[tuple[Booked, Why]]) -> list[Unfit]:
    return [
        Unfit(
            booking_ref=each.booking_ref,
            status=each.status,
            service_type=each.service_type,
            start_at=each.start_at,
            end_at=each.end_at,
            why=why,
        )
        for each, why in found
    ]


def clinic_calendar(parts: Parts, request: Request, scope: Scope) -> tuple[str, Site]:
    """(provider_id, site) for a key of its clinic that has ``scope``. Raises Refused: 401, 403, 404."""
    key = parts.authenticate(dict(request.scope["headers"]))
    require_scope(key, scope)
    provider_id, site = provider_site(parts, request)
    require_own_clinic(key, site)
    return provider_id, site


def provider_site(parts: Parts, request: Request) -> tuple[str, Site]:
    """Raises Refused (404)."""
    provider_id = request.path_params["id"]
    site = parts.directory.of_provider(provider_id)
    if site is None:
        more = {"next_step": "Choose a provider from /v1/clinics."}
        raise Refused(problems.NOT_FOUND, "There is no such provider.", more=more)
    return provider_id, site


def require_own_clinic(key: AccessKey, site: Site) -> None:
    """Raises Refused (403)."""
    if key.owner_kind == OwnerKind.CLINIC and key.owner_id != site.clinic.clinic_id:
        raise Refused(problems.FORBIDDEN, "A clinic's key is for the calendars of its own clinic.")


def entry_of(request: Request, name: str) -> str:
    """The id of an entry, from the address. Raises Refused (404)."""
    entry: str = request.path_params[name]
    if not _ENTRY.fullmatch(entry):
        raise Refused(problems.UNKNOWN_ENTRY, "An entry's id is 1 to 128 letters, digits and . _ ~ @ -")
    return entry


def span_of(from_at: datetime, to_at: datetime, pointer: str = "") -> tuple[datetime, datetime]:
    """In UTC. Raises Refused (422) unless it is a span of our times."""
    for name, at in (("from", from_at), ("to", to_at)):
        if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
            raise wrong_value(f"{pointer}/{name}", "That is no time anybody books.")
    if to_at <= from_at:
        raise wrong_value(f"{pointer}/to", "`to` is not later than `from`.")
    return from_at.astimezone(UTC), to_at.astimezone(UTC)


def wrong_value(pointer: str, detail: str) -> Refused:
    return wrong_field(pointer, detail, "Correct it.", problems.WRONG_VALUE)


def etag(version: int) -> str:
    return f'"{version}"'


def require_version(request: Request, version: int) -> None:
    """Raises Refused: 428 without If-Match, 412 where it names another version, 400 where it names none."""
    asked = request.headers.get("if-match")
    if asked is None:
        raise Refused(problems.IF_MATCH_MISSING, "The request has no If-Match.")
    if asked.strip() == "*":
        return
    tags = _TAG.findall(asked)
    if not tags:
        raise wrong_header("If-Match", "It holds no entity tag.", 'Send the ETag, such as "3".', problems.BAD_HEADER)
    if str(version) not in tags:
        raise Refused(problems.CHANGED_MEANWHILE, f"It is at version {version} now.", headers={"ETag": etag(version)})


def unchanged(request: Request, tag: str) -> bool:
    """Whether the caller has what this (weak) entity tag stands for: If-None-Match (RFC 9110)."""
    asked = request.headers.get("if-none-match")
    return asked is not None and (asked.strip() == "*" or tag.removeprefix("W/").strip('"') in _TAG.findall(asked))


PROVIDER_ID: Final = Parameter(name="id", where="path", schema=STRING, description="A provider_id.", required=True)
IF_MATCH: Final = Parameter(
    name="If-Match",
    where="header",
    schema=STRING,
    description="The `ETag` of the version that is to be replaced; `*` for any.",
    required=True,
)
ETAG: Final = {"ETag": {**STRING, "description": "Of this version."}}
