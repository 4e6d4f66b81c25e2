"""What others have recorded: callers of their answers, clinics of their bookings, receivers of their webhooks.

JSON lines from a file or a URL; fields that are not named here are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from waiting_room.audit.facts import ACKNOWLEDGED, Answer, Kept, Seen
from waiting_room.domain.booking_ref import clinic_of

FETCH_SECONDS = 60.0
Line = TypeVar("Line")


class EvidenceUnreadable(Exception):
    """A file or URL cannot be had, or is not what it should be; one line."""


class _LedgerLine(msgspec.Struct, frozen=True):
    idempotency_key: str
    clinic_id: str
    status: int | None
    booking_ref: str | None
    outcome: str | None = None


class _KeptLine(msgspec.Struct, frozen=True):
    clinic_id: str
    booking_ref: str
    revision: int
    clinic_booking_id: str
    times_accepted: int = 1
    withdrawn_at: datetime | None = None
    replaced_at: datetime | None = None


class _ReceivedLine(msgspec.Struct, frozen=True):
    """``status``: what the receiver answered; ``verified`` left out: it keeps no others."""

    endpoint_id: str
    booking_ref: str | None = None
    sequence: int | None = None
    booking_sequence: int | None = None
    verified: bool = True
    status: int = 200


class Ledger:
    """What callers were told. Answers without a ref are kept at the clinic that was asked."""

    def __init__(self, lines: list[_LedgerLine]) -> None:
        self.by_clinic: dict[str, list[Answer]] = defaultdict(list)
        refs_of_key: dict[str, set[str]] = defaultdict(set)
        for line in lines:
            answer = Answer(line.idempotency_key, line.booking_ref, line.status, line.outcome)
            clinic_id = line.clinic_id if line.booking_ref is None else clinic_of(line.booking_ref)
            self.by_clinic[clinic_id].append(answer)
            if line.booking_ref is not None and line.status in ACKNOWLEDGED:
                refs_of_key[line.idempotency_key].add(line.booking_ref)
        self.same_key = [sorted(refs) for refs in refs_of_key.values() if len(refs) > 1]


async def read_ledger(source: str) -> Ledger:
    """Raises EvidenceUnreadable."""
    return Ledger(await _lines(source, _LedgerLine))


async def read_clinic_records(source: str) -> dict[str, list[Kept]]:
    """By clinic. Raises EvidenceUnreadable."""
    kept: dict[str, list[Kept]] = defaultdict(list)
    for line in await _lines(source, _KeptLine):
        effective = line.withdrawn_at is None and line.replaced_at is None
        kept[line.clinic_id].append(
            Kept(line.booking_ref, line.revision, line.clinic_booking_id, line.times_accepted, effective)
        )
    return kept


async def read_received(source: str) -> dict[str, dict[tuple[str, int], Seen]]:
    """By clinic: (endpoint_id, sequence) to what was taken. Raises EvidenceUnreadable.

    What names no booking is a test and not looked at.
    """
    received: dict[str, dict[tuple[str, int], Seen]] = defaultdict(dict)
    for line in await _lines(source, _ReceivedLine):
        if line.booking_ref is None or line.sequence is None or line.status >= 300:
            continue
        of_clinic = received[clinic_of(line.booking_ref)]
        which = line.endpoint_id, line.sequence
        before = of_clinic.get(which)
        verified = line.verified or (before is not None and before.verified)
        of_clinic[which] = Seen(verified, line.booking_sequence)
    return received


async def _lines(source: str, kind: type[Line]) -> list[Line]:
    raw = await _fetch(source) if source.startswith(("http://", "https://")) else _load(source)
    try:
        return msgspec.json.Decoder(kind).decode_lines(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EvidenceUnreadable(f"{source}: {error}") from error


def _load(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise EvidenceUnreadable(f"{source}: {error.strerror}") from error


async def _fetch(source: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(source) as answer:
            if answer.status != 200:
                raise EvidenceUnreadable(f"{source}: answered {answer.status}")
            return await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise EvidenceUnreadable(f"{source}: {error or type(error).__name__}") from error
