"""Opens what ingress has sealed: of each booking, who it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog
from aiokafka.errors import KafkaError

from waiting_room.announcements import PARTITION
from waiting_room.envelope import CannotOpen, Envelope, UnknownMasterKey
from waiting_room.follower import Follower
from waiting_room.intake_keys import IntakeKeys
from waiting_room.messages import Book, Patient
from waiting_room.settings import Settings
from waiting_room.topics import INTAKE_KEYS
from workers.hold.read import Appended, Item

log = structlog.get_logger(__name__)
_LOOK_EVERY_SECONDS, _TELL_EVERY_SECONDS = 0.05, 5.0
_decode = msgspec.json.Decoder(Patient).decode
Unopened = tuple[Appended, str]
"""A booking whose patient nobody will ever know, and why."""


class Opening:
    """``run`` follows the keys; ``open`` waits for those that it has not read yet."""

    def __init__(self, settings: Settings, envelope: Envelope) -> None:
        self._keys = IntakeKeys(envelope)
        self._follower = Follower(settings, {INTAKE_KEYS: self._keys.apply})
        self.run = self._follower.run

    async def open(self, items: Sequence[Item]) -> tuple[list[Item], list[Unopened]]:
        """The same items, their patients opened where they were sealed; and those that cannot be.

        Raises UnknownMasterKey: it is for want of a key that another process may have, so nothing is decided.
        """
        commands = (item.command for item in items if isinstance(item, Appended))
        named = {command.intake_key for command in commands if isinstance(command, Book)} - {None}
        if not all(map(self._keys.known, named)):
            await self._read_to_the_end()
        opened: list[Item] = []
        unopened: list[Unopened] = []
        now = datetime.now(UTC)
        for item in items:
            if isinstance(item, Appended) and isinstance(item.command, Book) and item.command.patient is None:
                item, why = self._opened(item, item.command, now)
                if why is not None:
                    unopened.append((item, why))
            opened.append(item)
        return opened, unopened

    def _opened(self, item: Appended, command: Book, now: datetime) -> tuple[Appended, str | None]:
        if command.sealed is None or command.intake_key is None:
            return item, "it names no patient"
        try:
            key = self._keys.key(command.intake_key, now)
            if key is None:
                return item, "the key that its patient is sealed under is forgotten"
            patient = _decode(key.open(command.sealed, command.booking_ref))
        except UnknownMasterKey:
            raise
        except (CannotOpen, msgspec.MsgspecError):
            return item, "its patient does not open"
        opened = msgspec.structs.replace(command, patient=patient, sealed=None)
        return Appended(opened, item.appended_at, item.record), None

    async def _read_to_the_end(self) -> None:
        """A key is appended before anything is sealed with it: what is not there when asked now is not there at all."""
        end: int | None = None
        why: str | None = None
        clock = asyncio.get_running_loop().time
        told_at = clock()
        while end is None or self._follower.position(INTAKE_KEYS, PARTITION) < end:
            try:
                if end is None:
                    end, why = await self._follower.end_offset(INTAKE_KEYS, PARTITION), None
            except KafkaError as error:
                why = type(error).__name__
            if clock() - told_at >= _TELL_EVERY_SECONDS:
                told_at = clock()
                log.warning(
                    "intake_keys_late", position=self._follower.position(INTAKE_KEYS, PARTITION), end=end, error=why
                )
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
