"""From records of booking.requests to the commands that count."""

from __future__ import annotations

from datetime import datetime

import msgspec
from aiokafka import ConsumerRecord

from waiting_room.dead_letters import append_time_of
from waiting_room.messages import (
    Book,
    Cancel,
    Closure,
    Command,
    Moved,
    Probe,
    Reader,
    Reschedule,
    Shortage,
    Unreadable,
)

_read: Reader[Command] = Reader(Command)


class Appended(msgspec.Struct, frozen=True):
    """A command and where and when the broker appended it."""

    command: Book | Cancel | Reschedule
    appended_at: datetime
    record: ConsumerRecord

    @property
    def clinic_id(self) -> str:
        return self.command.clinic_id

    @property
    def command_key(self) -> tuple[str, str]:
        """(clinic_id, booking_ref)"""
        return self.command.clinic_id, self.command.booking_ref

    @property
    def partition(self) -> int:
        return int(self.record.partition)

    @property
    def offset(self) -> int:
        return int(self.record.offset)


class Marker(msgspec.Struct, frozen=True):
    """What ends a clinic's stay in a partition."""

    moved: Moved
    record: ConsumerRecord

    @property
    def clinic_id(self) -> str:
        return self.moved.clinic_id

    @property
    def partition(self) -> int:
        return int(self.record.partition)

    @property
    def offset(self) -> int:
        return int(self.record.offset)


class MovingAway(msgspec.Struct, frozen=True):
    """A clinic closes for a while, or has not the doses for whom it has booked: some of them go elsewhere."""

    why: Closure | Shortage
    record: ConsumerRecord

    @property
    def clinic_id(self) -> str:
        return self.why.clinic_id

    @property
    def partition(self) -> int:
        return int(self.record.partition)

    @property
    def offset(self) -> int:
        return int(self.record.offset)


Item = Appended | Marker | MovingAway


def item_of(record: ConsumerRecord) -> Item | None:
    """The command or marker; None for a probe and for what was appended later than its caller would believe.

    The broker's own clock decides, here and in ingress: whoever was told 202 is held, whoever was not told so
    finds nothing booked behind their back. Raises Unreadable.
    """
    message = _read(record.value)
    if isinstance(message, Probe):
        return None
    if record.key is None or record.key.decode(errors="replace") != message.clinic_id:
        raise Unreadable("the record's key is not its clinic")
    if isinstance(message, Moved):
        return Marker(message, record)
    if isinstance(message, Closure | Shortage):
        return MovingAway(message, record) if append_time_of(record) <= message.accept_by else None
    if not message.booking_ref.startswith(message.clinic_id):
        raise Unreadable("the booking_ref is another clinic's")
    appended_at = append_time_of(record)
    return None if appended_at > message.accept_by else Appended(message, appended_at, record)


def command_of(record: ConsumerRecord) -> Appended | None:
    """The command, if the record is one that counts. Raises Unreadable."""
    item = item_of(record)
    return item if isinstance(item, Appended) else None
