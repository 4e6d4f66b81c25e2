"""Cursor pagination: where a page ends, opaque to the caller, and the address of the next one."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import QueryParams

from ingress import problems
from ingress.fixes import A_MOMENT
from ingress.operation import STRING, Parameter
from ingress.refusal import Refused, wrong_parameter

T = TypeVar("T")
LIMIT, LIMIT_MAX = 50, 200
_FIRST_YEAR, _LAST_YEAR = 2000, 2200
PAGE_PARAMETERS: Final = (
    Parameter(
        name="limit",
        where="query",
        schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
        description="How many at most.",
    ),
    Parameter(name="cursor", where="query", schema=STRING, description="From `next` of the page before."),
)


def one(query: QueryParams, name: str) -> str | None:
    """The parameter's value. Raises Refused (400) if it is there more than once."""
    values = query.getlist(name)
    if len(values) > 1:
        raise wrong_parameter(name, f"{name} is there {len(values)} times.", "Send it once.", problems.BAD_PARAMETER)
    return values[0] if values else None


def limit_of(query: QueryParams, usual: int = LIMIT, most: int = LIMIT_MAX) -> int:
    """Raises Refused (400)."""
    return number_of(query, "limit", most) or usual


def number_of(query: QueryParams, name: str, most: int) -> int | None:
    """A number from 1 to ``most``. Raises Refused (400)."""
    text = one(query, name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
        return int(text)
    detail = f"{name} is not a number from 1 to {most}."
    raise wrong_parameter(name, detail, f"Send a number from 1 to {most}.", problems.BAD_PARAMETER)


def moment_of(query: QueryParams, name: str) -> datetime | None:
    """A time of ours, in UTC. Raises Refused (400)."""
    text = one(query, name)
    if text is None:
        return None
    try:
        at: datetime = msgspec.convert(text.replace(" ", "+"), datetime)  # a plus that was not escaped
        if at.tzinfo is not None and _FIRST_YEAR <= at.year <= _LAST_YEAR:
            return at.astimezone(UTC)
    except msgspec.ValidationError:
        pass
    raise wrong_parameter(name, "That is no time anybody books.", A_MOMENT, problems.BAD_PARAMETER)


def cursor_of(query: QueryParams, kind: type[T]) -> T | None:
    """What ``next_page`` was given. Raises Refused (422), for what nobody was given as well: PostgreSQL would not take
    it.
    """
    text = one(query, "cursor")
    if text is None:
        return None
    try:
        found = msgspec.json.decode(urlsafe_b64decode(text.encode() + b"=="), type=kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _unreadable() from error
    if not all(map(_may_be_ours, found if isinstance(found, tuple) else (found,))):
        raise _unreadable()
    return found


def _may_be_ours(value: object) -> bool:
    match value:
        case datetime():
            return value.utcoffset() == timedelta(0)
        case int():
            return abs(value) < 2**63
        case str():
            return "\0" not in value
    return True


def _unreadable() -> Refused:
    fix = "Follow `next` as it is, or leave `cursor` out to start anew."
    return wrong_parameter("cursor", "The cursor cannot be read.", fix, problems.BAD_CURSOR)


def next_page(path: str, query: dict[str, str], limit: int, after: Any) -> str:
    """The address of the page after ``after``."""
    cursor = urlsafe_b64encode(msgspec.json.encode(after)).decode().rstrip("=")
    return f"{path}?{urlencode({**query, 'limit': limit, 'cursor': cursor})}"
