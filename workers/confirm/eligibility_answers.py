"""What the eligibility system has said lately, by patient and service; no patient can be read from it.

An answer stands under a hash that is keyed with this process's own secret: shown or written anywhere, the names tell
nobody whose answers these are, and nobody can find out by trying.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import blake2b

from clinic_adapter.eligibility import Question

NO_SHARE = 0.1
"""Of the time that a yes is kept: whoever is told no mends what was missing and asks again."""


class Answers:
    """At most ``size_max`` answers, each for ``keep_seconds`` at most; the one that was used longest ago goes first.
    ``now`` is monotonic seconds.
    """

    def __init__(self, *, keep_seconds: float, size_max: int) -> None:
        self._keep_seconds = keep_seconds
        self._size_max = size_max
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[bool, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, question: Question, now: float) -> bool | None:
        """The answer, if there is one that still counts."""
        name = self._name(question)
        found = self._known.get(name)
        if found is None:
            return None
        eligible, until = found
        if now >= until:
            del self._known[name]
            return None
        self._known.move_to_end(name)
        return eligible

    def keep(self, question: Question, eligible: bool, now: float) -> None:
        """The system has just said so."""
        name = self._name(question)
        self._known[name] = eligible, now + self._keep_seconds * (1.0 if eligible else NO_SHARE)
        self._known.move_to_end(name)
        while len(self._known) > self._size_max:
            self._known.popitem(last=False)

    def _name(self, question: Question) -> bytes:
        """Lengths stand before the parts, or two questions could read the same."""
        parts = [part.encode() for part in question]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return blake2b(text, digest_size=16, key=self._key).digest()
