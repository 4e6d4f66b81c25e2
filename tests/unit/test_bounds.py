"""Every number that comes in is bounded where it comes in, so that none is refused by the column it is meant for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ingress.app import OPERATIONS
from waiting_room.domain.clinic_changes import BusyThere
from waiting_room.onboarding import Onboarding

INTEGER_MAX = 2**31 - 1
"""Of PostgreSQL's smallest column that a caller's number is stored in."""


def unbounded(schema: object, path: str = "") -> Iterator[str]:
    """Where a JSON schema takes a number that such a column may not."""
    match schema:
        case dict() if schema.get("type") in ("integer", "number"):
            bounds: dict[str, float] = schema
            most = min(bounds.get("maximum", INTEGER_MAX + 1), bounds.get("exclusiveMaximum", INTEGER_MAX + 1))
            least = bounds.get("minimum", bounds.get("exclusiveMinimum", -1))
            if most > INTEGER_MAX or least < 0:
                yield path
        case dict():
            for name, inner in schema.items():
                yield from unbounded(inner, f"{path}/{name}")
        case list():
            for at, inner in enumerate(schema):
                yield from unbounded(inner, f"{path}/{at}")


def test_of_the_api() -> None:
    taken: dict[str, object] = {}
    for each in OPERATIONS:
        body = msgspec.json.schema(each.body) if isinstance(each.body, type) else dict(each.body or {})
        taken[f"{each.method} {each.path}"] = [body, [dict(parameter.schema) for parameter in each.parameters]]
    assert list(unbounded(taken)) == []


def test_of_the_onboarding_file() -> None:
    assert list(unbounded(msgspec.json.schema(Onboarding))) == []


def test_of_what_a_clinics_system_says_and_we_store() -> None:
    assert list(unbounded(msgspec.json.schema(BusyThere))) == []
