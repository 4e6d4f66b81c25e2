"""What the simulated gateways have sent to patients, and how they treat what they are asked to send."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]


class Mood(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one channel. Of what it is asked to send, ``failing`` is not sent and answered so; ``lost`` is sent, and its
    answer never arrives; ``refusing`` is refused for good.
    """

    delay: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds until it has sent and answers."""
    failing: Share = 0.0
    lost: Share = 0.0
    refusing: Share = 0.0


class Sent(msgspec.Struct, frozen=True, gc=False):
    """One message that a patient got. ``key`` is what its sender says is the same message."""

    channel: str
    key: str
    to: str
    language: str | None
    subject: str | None
    text: str
    at: datetime
    calendar: str | None = None


class Tally(msgspec.Struct):
    """``repeats``: asked again for what was sent, and honoured; ``doubled``: sent again all the same."""

    asked: int = 0
    sent: int = 0
    failed: int = 0
    refused: int = 0
    lost: int = 0
    repeats: int = 0
    doubled: int = 0


class Ledger:
    """Shared by all channels."""

    def __init__(self, moods: dict[str, Mood], seed: int) -> None:
        self.moods = moods
        self.sent: list[Sent] = []
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self._keys: set[str] = set()
        self._chance = Random(seed)

    def mood(self, channel: str) -> Mood:
        return self.moods.get(channel, Mood())

    def fate(self, channel: str) -> str:
        """``sent``, ``failed``, ``refused`` or ``lost``, by the channel's mood."""
        mood, drawn = self.mood(channel), self._chance.random()
        for fate, share in (("failed", mood.failing), ("lost", mood.lost), ("refused", mood.refusing)):
            if drawn < share:
                return fate
            drawn -= share
        return "sent"

    def has(self, key: str) -> bool:
        return key in self._keys

    def keep(self, sent: Sent) -> None:
        """A patient has it."""
        tally = self.tallies[sent.channel]
        tally.sent += 1
        tally.doubled += sent.key in self._keys
        self._keys.add(sent.key)
        self.sent.append(sent)
