"""What a caller is told to send instead: words, for every kind of value that may be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ingress.app import OPERATIONS
from ingress.body import read, read_as
from ingress.fixes import OF_PATTERN, USUAL
from ingress.openapi import document
from ingress.refusal import Refused
from ingress.stock_types import StockCount, StockMovement


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for each in schema.values():
            yield from patterns(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from patterns(each)


def test_every_pattern_of_a_body_has_its_words() -> None:
    schemas = document(OPERATIONS)["components"]["schemas"]
    bodies = {each.body.__name__ for each in OPERATIONS if isinstance(each.body, type)}
    waiting, seen = list(bodies), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [ref.rpartition("/")[2] for ref in refs(schemas[name])]
    assert {pattern for name in seen for pattern in patterns(schemas[name])} == set(OF_PATTERN)


def test_who_did_not_book_is_not_told_that_nothing_was_booked() -> None:
    told = {kind for each in OPERATIONS if each.name not in ("book", "join_waitlist") for kind in each.problems}
    assert [kind.name for kind in told if "Nothing was booked" in kind.next_step] == []


def refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        for each in schema.values():
            yield from refs(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from refs(each)


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"start_at": "tomorrow"}, "/start_at", "such as 2027-01-31T08:00:00Z"),
        ({"start_at": "2027-01-31T08:00:00"}, "/start_at", "with a zone offset"),
        ({"start_at": None}, "/start_at", "RFC 3339"),
        ({"patient": {"id": "Anna Bell"}}, "/patient/id", "without spaces"),
        ({"patient": {"id": "p", "locale": "german!"}}, "/patient/locale", "such as de"),
        ({"patient": {"id": "p", "contact": {"E-Mail": "a@b.example"}}}, "/patient/contact", "lower case"),
        ({"clinic_id": "\0"}, "/clinic_id", "without control characters"),
        ({"service_type": 3}, "/service_type", USUAL),
    ],
)
def test_a_wrong_value_of_a_booking(change: dict[str, Any], pointer: str, words: str) -> None:
    body = {"clinic_id": "0001", "service_type": "checkup", "patient": {"id": "p"}, **change}
    with pytest.raises(Refused) as refused:
        read(msgspec.json.encode(body))
    [fault] = refused.value.errors
    assert fault.pointer == pointer
    assert words in fault.fix


def test_a_wrong_word() -> None:
    with pytest.raises(Refused) as refused:
        read_as(b'{"kind": "lost", "lot": "A1", "doses": 1}', msgspec.json.Decoder(StockMovement).decode)
    [fault] = refused.value.errors
    assert (fault.pointer, fault.fix) == ("/kind", "Send one of the values that /openapi.json names for it.")


def test_a_wrong_day() -> None:
    lot = {"lot": "A1", "expires_on": "31.01.2027", "on_hand": 3}
    with pytest.raises(Refused) as refused:
        read_as(msgspec.json.encode({"lots": [lot]}), msgspec.json.Decoder(StockCount).decode)
    [fault] = refused.value.errors
    assert (fault.pointer, fault.fix) == ("/lots/0/expires_on", "Send a day as YYYY-MM-DD.")
