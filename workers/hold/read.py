"""From records of booking.requests to the commands that count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aiokafka import ConsumerRecord

from waiting_room.dead_letters import append_time_of
from waiting_room.messages import Book, Cancel, Command, Probe, Reader, Unreadable

_read: Reader[Command] = Reader(Command)


@dataclass(frozen=True, slots=True)
class Appended:
    """A command and where and when the broker appended it."""

    command: Book | Cancel
    appended_at: datetime
    record: ConsumerRecord

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


def command_of(record: ConsumerRecord) -> Appended | None:
    """The command, or None for a probe and for what was appended later than its caller would believe.

    The broker's own clock decides, here and in ingress: whoever was told 202 is held, whoever was not told so
    finds nothing booked behind their back. Raises Unreadable.
    """
    command = _read(record.value)
    if isinstance(command, Probe):
        return None
    if record.key is None or record.key.decode(errors="replace") != command.clinic_id:
        raise Unreadable("the record's key is not its clinic")
    if not command.booking_ref.startswith(command.clinic_id):
        raise Unreadable("the booking_ref is another clinic's")
    appended_at = append_time_of(record)
    if appended_at > command.accept_by:
        return None
    return Appended(command, appended_at, record)
