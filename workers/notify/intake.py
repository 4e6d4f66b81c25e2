"""What notify reads booking.events for: the messages that their patients are to get."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from waiting_room.domain.notifications import TOLD_OF
from waiting_room.messages import BookingEvent
from waiting_room.patient_keys import Vault
from waiting_room.settings import Settings
from waiting_room.store import notifications
from waiting_room.store.notifications import Planned
from waiting_room.store.pool import Pool
from workers.notify.plan import plan, rules_of

GROUP: Final = "notify"


class Messages:
    """A purpose of ``workers.event_intake``."""

    group = GROUP

    def __init__(self, settings: Settings, pool: Pool, vault: Vault) -> None:
        self._vault = vault
        self._rules = rules_of(settings)
        self._pool = pool

    def started(self) -> None:
        """The sender says when the role is ready."""

    def wanted(self, event: BookingEvent) -> BookingEvent | None:
        return event if event.event in TOLD_OF else None

    async def store(self, wanted: Sequence[BookingEvent]) -> int:
        now = datetime.now(UTC)
        keys = list({(event.clinic_id, event.booking_ref) for event in wanted})
        async with self._pool.acquire() as conn:
            subjects = await notifications.subjects(conn, keys)
            planned: list[Planned] = []
            for event in wanted:
                subject = subjects.get((event.clinic_id, event.booking_ref))
                patient = subject and self._vault.open(subject.patient_key, subject.patient)
                if subject and patient:
                    planned.extend(plan(event, subject, patient, self._rules, now))
            async with conn.transaction():
                if subjects:
                    await notifications.drop_overtaken(conn, list(subjects))
                return await notifications.enlist(conn, planned) if planned else 0
