"""Writes the letter for a message that is about to be sent, from the booking as it was read for that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from waiting_room.domain.notifications import Channel, address_of, base_of
from waiting_room.messages import Patient
from waiting_room.passes import Pass, ends_at, link_to, sign
from waiting_room.settings import Settings
from waiting_room.store.faults import passes
from waiting_room.store.notifications import Begun
from waiting_room.store.pool import Pool
from waiting_room.unsubscribe import PATH, token_of
from workers.notify.alternatives import free_instead
from workers.notify.calendar_file import calendar_file
from workers.notify.letter import Attachment, Letter, idempotency_key
from workers.notify.words import Free, Matter, SeatOffered, language_of, words

log = structlog.get_logger(__name__)

WITH_CALENDAR: Final = frozenset({"confirmed", "rescheduled", "cancelled"})


class Composer:
    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._language = settings.notify_language
        self._offer_link = settings.notify_offer_link
        self._public_url = settings.notify_public_url.rstrip("/")
        self._secret = next(iter(settings.link_secrets), None)
        own_page = link_to(self._public_url, "{pass}") if self._public_url and self._secret else ""
        self._link = settings.notify_booking_link or own_page
        self._pass_days = settings.notify_pass_days
        self._pool = pool

    async def letter(self, begun: Begun, patient: Patient) -> Letter | None:
        """None where the patient has no address there. Raises KeyError for a kind without a template."""
        to = address_of(patient.contact, begun.key.channel)
        if to is None:
            return None
        now = datetime.now(UTC)
        kind = base_of(begun.key.kind)
        language = language_of(patient.locale, self._language)
        matter = Matter(
            booking_ref=begun.key.booking_ref,
            clinic=begun.clinic_name,
            provider=begun.provider_name,
            timezone=begun.timezone,
            start_at=begun.start_at,
            reason=begun.reason,
            link=self._link_to(begun),
            now=now,
            alternatives=await self._alternatives(begun, now) if kind == "rejected" else (),
            offer=self._offer(begun),
        )
        written = words(kind, language, matter)
        return Letter(
            idempotency_key=idempotency_key(begun.key),
            booking_ref=begun.key.booking_ref,
            to=to,
            language=language,
            subject=written.subject,
            short=written.short,
            text=written.text,
            calendar=_calendar(begun, kind, language, matter),
            unsubscribe=self._unsubscribe(begun),
        )

    def _offer(self, begun: Begun) -> SeatOffered | None:
        if begun.offer_id is None or begun.offer_expires_at is None:
            return None
        page = self._offer_link.replace("{booking_ref}", begun.key.booking_ref).replace("{offer_id}", begun.offer_id)
        accept, decline = (page.replace("{answer}", answer) or None for answer in ("accept", "decline"))
        return SeatOffered(begun.offer_expires_at, begun.offer_to_all, accept, decline)

    def _link_to(self, begun: Begun) -> str | None:
        """Where the patient sees and changes the booking, by a pass where it takes one."""
        link = self._link.replace("{booking_ref}", begun.key.booking_ref)
        if "{pass}" in link and self._secret is not None:
            until = ends_at(begun.end_at or begun.due_at, self._pass_days)
            made = Pass(begun.key.booking_ref, until, begun.pass_generation)
            link = link.replace("{pass}", sign(self._secret, made))
        return link or None

    def _unsubscribe(self, begun: Begun) -> str | None:
        if not self._public_url or self._secret is None:
            return None
        token = token_of(self._secret, begun.key.booking_ref, begun.key.channel)
        return f"{self._public_url}{PATH}/{token}"

    async def _alternatives(self, begun: Begun, now: datetime) -> tuple[Free, ...]:
        """None if they cannot be read: the patient is told without them."""
        try:
            async with self._pool.acquire() as conn:
                return await free_instead(conn, begun, now)
        except Exception as error:
            if not passes(error):
                raise
            log.warning("alternatives_not_read", error=type(error).__name__)
            return ()


def _calendar(begun: Begun, kind: str, language: str, matter: Matter) -> Attachment | None:
    if kind not in WITH_CALENDAR or begun.key.channel != Channel.EMAIL or not (begun.start_at and begun.end_at):
        return None
    return calendar_file(
        booking_ref=begun.key.booking_ref,
        revision=begun.key.revision,
        start_at=begun.start_at,
        end_at=begun.end_at,
        timezone=begun.timezone,
        summary=begun.clinic_name,
        place=begun.clinic_name,
        # People share calendars, and whoever has the link is let in.
        text=words(kind, language, replace(matter, link=None)).text,
        cancelled=kind == "cancelled",
        made_at=matter.now,
    )
