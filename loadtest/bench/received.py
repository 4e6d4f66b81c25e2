"""What the simulated webhook receiver has seen, and how its endpoints are told to misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import aiohttp
import msgspec

from waiting_room.domain.booking_ref import clinic_of


class Received(NamedTuple):
    """``key``: (clinic_id, the event's number there); ``at``: seconds of the wall clock."""

    key: tuple[str, int]
    at: float


class _Line(msgspec.Struct):
    booking_ref: str
    sequence: int
    received_at: datetime
    status: int


_decode = msgspec.json.Decoder(_Line).decode_lines


async def received_by(receiver_url: str) -> list[Received]:
    """Everything that was taken with a 2xx."""
    async with aiohttp.ClientSession() as session, session.get(f"{receiver_url}/_sim/received") as answer:
        lines = _decode(await answer.read())
    return [
        Received((clinic_of(line.booking_ref), line.sequence), line.received_at.timestamp())
        for line in lines
        if line.status < 300
    ]


async def mood(receiver_url: str, endpoint_id: str, changes: Mapping[str, Any]) -> None:
    """See ``loadtest.receiver.Mood``."""
    async with (
        aiohttp.ClientSession() as session,
        session.patch(f"{receiver_url}/_sim/endpoints/{endpoint_id}", json=changes) as answer,
    ):
        answer.raise_for_status()
