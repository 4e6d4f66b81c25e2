"""Colours of the pages, by what WCAG 2.2 asks for: contrast of 4.5 for words, of 3 for the edge of a field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

COLOURS = Path(__file__).parents[2] / "ingress" / "colours.css"
LIGHT, DARK = (
    dict(re.findall(r"--(\w+): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", COLOURS.read_text(), re.S)
)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_edges_can_be_seen(scheme: dict[str, str]) -> None:
    assert set(LIGHT) == set(DARK)
    for behind in ("back", "card"):
        for words in ("text", "soft", "good", "bad"):
            assert contrast(scheme[words], scheme[behind]) >= 4.5
        for edge in ("edge", "blue"):
            assert contrast(scheme[edge], scheme[behind]) >= 3
    assert contrast(scheme["card"], scheme["bad"]) >= 4.5, "a fault on the page of operations"
