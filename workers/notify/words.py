"""The words of a message: templates by language, dates as people there write them, times on the clinic's clock.

Templates are ours and read from beside this file; what stands in them of others (names of clinics, of providers) is
data. Each has three blocks: ``subject``, ``short`` for channels that count characters, ``text``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from waiting_room.notify_settings import LANGUAGES

TEMPLATES: Final = Path(__file__).parent / "templates"
_REGION: Final = {"en": "en_GB", "de": "de_DE"}
_LONG: Final = {"en": "EEEE, d MMMM y, HH:mm", "de": "EEEE, d. MMMM y, HH:mm 'Uhr'"}
_SHORT: Final = {"en": "EEE d MMM, HH:mm", "de": "EEE d. MMM, HH:mm 'Uhr'"}
_MANY_LINES = re.compile(r"\n{3,}")


class Words(NamedTuple):
    subject: str
    short: str
    text: str


class Free(NamedTuple):
    """A time that may be booked instead."""

    start_at: datetime
    provider: str
    clinic: str
    timezone: str


class SeatOffered(NamedTuple):
    """A seat that is held ``until`` then, for the patient or the first of several, and pages to answer."""

    until: datetime
    to_all: bool
    accept: str | None
    decline: str | None


@dataclass(frozen=True, kw_only=True)
class Matter:
    """What a message is about. ``now``: when it is written, for "today" and "tomorrow"."""

    booking_ref: str
    clinic: str
    provider: str | None
    timezone: str
    start_at: datetime | None
    reason: str | None
    link: str | None
    now: datetime
    alternatives: tuple[Free, ...] = ()
    offer: SeatOffered | None = None


def language_of(locale: str | None, default: str) -> str:
    """Ours that fits a patient's locale (BCP 47), else ``default``."""
    wanted = (locale or "").partition("-")[0].lower()
    return wanted if wanted in LANGUAGES else default


def words(kind: str, language: str, matter: Matter) -> Words:
    """``kind`` without its lead: ``reminder``. Raises KeyError for one without a template."""
    template = _templates[language, kind]
    context = template.new_context({"m": _shown(matter, language), "common": _common[language]})
    subject, short, text = ("".join(template.blocks[name](context)) for name in Words._fields)
    return Words(" ".join(subject.split()), " ".join(short.split()), _MANY_LINES.sub("\n\n", text).strip() + "\n")


def _shown(matter: Matter, language: str) -> dict[str, object]:
    zone = ZoneInfo(matter.timezone)
    local = matter.start_at.astimezone(zone) if matter.start_at else None
    return {
        "booking_ref": matter.booking_ref,
        "clinic": matter.clinic,
        "provider": matter.provider,
        "timezone": matter.timezone,
        "when": _date(matter.start_at, matter.timezone, _LONG, language),
        "when_short": _date(matter.start_at, matter.timezone, _SHORT, language),
        "days": (local.date() - matter.now.astimezone(zone).date()).days if local else None,
        "reason": matter.reason,
        "link": matter.link,
        "offer": matter.offer,
        "until": _date(matter.offer.until, matter.timezone, _SHORT, language) if matter.offer else None,
        "alternatives": [
            {
                "when": _date(each.start_at, each.timezone, _LONG, language),
                "short": _date(each.start_at, each.timezone, _SHORT, language)
                + ("" if each.clinic == matter.clinic else f" ({each.clinic})"),
                "provider": each.provider,
                "clinic": each.clinic,
            }
            for each in matter.alternatives
        ],
    }


def _date(at: datetime | None, timezone: str, pattern: dict[str, str], language: str) -> str:
    if at is None:
        return "–"
    return format_datetime(at.astimezone(ZoneInfo(timezone)), pattern[language], locale=_REGION[language])


_environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False)  # noqa: S701 - plain text
_common: Final = {language: _environment.get_template(f"{language}/common.j2").module for language in LANGUAGES}
_templates: Final[dict[tuple[str, str], Template]] = {
    (language, path.stem): _environment.get_template(f"{language}/{path.name}")
    for language in LANGUAGES
    for path in sorted((TEMPLATES / language).glob("*.j2"))
    if path.stem != "common"
}
