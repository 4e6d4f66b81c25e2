"""The words of the page of a pass: in each language the same ones, for all that may become of a booking or a wish."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingress.body import BODY_PROBLEMS
from ingress.cancel import CANCEL
from ingress.offers import ACCEPT, DECLINE
from ingress.problems import (
    BAD_HEADER,
    CHANGED_MEANWHILE,
    KEY_REUSED,
    PROVIDER_ELSEWHERE,
    RANGE_TOO_LONG,
    START_OR_RANGE,
    UNKNOWN_BOOKING,
    UNKNOWN_PROVIDER,
)
from ingress.reschedule import RESCHEDULE
from waiting_room.domain.appointment import Reason, Status
from waiting_room.notify_settings import LANGUAGES

SCRIPT = Path(__file__).parents[2] / "ingress" / "passes" / "words.js"
OF_PROGRAMS = {
    *BODY_PROBLEMS,
    BAD_HEADER,
    CHANGED_MEANWHILE,
    KEY_REUSED,
    PROVIDER_ELSEWHERE,
    RANGE_TOO_LONG,
    START_OR_RANGE,
    UNKNOWN_BOOKING,
    UNKNOWN_PROVIDER,
}
"""What the page asks for cannot be refused so; a booking that is gone ends the page."""


def words(language: str) -> str:
    script = SCRIPT.read_text()
    begins = script.index(f"\n  {language}: {{") + len(f"\n  {language}: {{")
    return script[begins : script.index("\n  },\n", begins)]


def names(text: str) -> list[str]:
    found = re.finditer(r'"(?P<quoted>[^"\n]*)"(?P<colon>:)?|`[^`]*`|(?P<bare>[a-z]\w*):', text)
    return [name for each in found if (name := each["bare"] or (each["colon"] and each["quoted"]))]


def part(language: str, name: str) -> set[str]:
    text = words(language)
    begins = text.index(f"    {name}: {{")
    return set(names(text[begins : text.index("\n    },", begins)])) - {name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_and_status_has_words(language: str) -> None:
    assert part(language, "why") == set(Reason)
    assert set(Status) <= set(names(words(language)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_is_refused_has_words(language: str) -> None:
    kinds = {kind for each in (CANCEL, RESCHEDULE, ACCEPT, DECLINE) for kind in each.problems}
    expected = {kind.name for kind in kinds - OF_PROGRAMS if kind.status < 500 and kind.status != 429}
    assert part(language, "refused") == expected


def test_all_languages_say_the_same() -> None:
    first, *others = (sorted(names(words(language))) for language in LANGUAGES)
    assert all(each == first for each in others)
