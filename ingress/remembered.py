"""What this process remembers of idempotency keys: what came under a key and what its caller was told.

A convenience, not the truth: another ingress, or this one after a restart, derives the same booking_ref for a
retry, and hold sees to it that it books once. Here a retry is answered without a second record, a retry that
arrives while the first try is under way shares its outcome, and a key that comes with something else is refused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar, cast

import msgspec

from ingress import problems
from ingress.refusal import Refused, wrong_header
from waiting_room.domain.eta import Eta

_KEY_PART = slice(5, 19)
"""The part of a canonical booking_ref that is derived from (app, key) alone: the same at every clinic."""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A booking whose caller was told 202; without ``accepted_at`` one that may have been, nobody here knows."""

    booking_ref: str
    accepted_at: datetime | None
    place: int | None
    eta: Eta | None


class Cancelling(msgspec.Struct, frozen=True, gc=False):
    """A cancel whose caller was told 202."""

    booking_ref: str
    requested_at: datetime


class Rescheduling(msgspec.Struct, frozen=True, gc=False):
    """A wish for another time whose caller was told 202."""

    booking_ref: str
    requested_at: datetime


Told = Accepted | Cancelling | Rescheduling
T = TypeVar("T", Accepted, Cancelling, Rescheduling)


class _Try(msgspec.Struct, eq=False, gc=False):
    """``outcome`` is there while somebody waits for a try under way; ``told`` once it was accepted.

    Hidden from the cycle collector, as what it holds is: with 100,000 of them a full collection takes 14 ms, not 110.
    """

    request_hash: bytes
    under_way: bool = True
    outcome: asyncio.Future[Told | Refused] | None = None
    told: Told | None = None
    again: bool = False
    """An earlier try may have been accepted, nobody here knows."""

    def end(self, outcome: Told | Refused | None) -> None:
        """Tell who waits; None: nobody is working on it any more."""
        waited_for, self.outcome = self.outcome, None
        if waited_for is None:
            return
        if outcome is None:
            waited_for.cancel()
        else:
            waited_for.set_result(outcome)


class Remembered:
    """The ``limit`` keys used last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tries: OrderedDict[str, _Try] = OrderedDict()

    async def once(self, ref_of_key: str, request_hash: bytes, run: Callable[[], Awaitable[T]]) -> T:
        """What ``run`` answers, now or when the same request came under the same key before.

        ``ref_of_key``: any booking_ref derived from the app and the key; ``request_hash``: of all that is asked, so
        that equal hashes mean the same kind of answer.
        Raises Refused: what ``run`` raises, or 422 if the key came with another request. A try that came to
        nothing is forgotten, unless an earlier one may have come to something; one of unknown outcome is made again.
        """
        key = ref_of_key[_KEY_PART]
        while (known := self._tries.get(key)) is not None:
            if known.request_hash != request_hash:
                raise key_reused()
            if known.told is not None:
                return cast(T, known.told)
            if not known.under_way:
                break
            if (outcome := known.outcome) is None:
                outcome = known.outcome = asyncio.get_running_loop().create_future()
            await asyncio.wait((outcome,))
            if not outcome.cancelled():
                return cast(T, _told(outcome.result()))
        return await self._run(key, request_hash, run)

    def is_second(self, ref_of_key: str) -> bool:
        """Whether the try that is under way follows one of unknown outcome."""
        known = self._tries.get(ref_of_key[_KEY_PART])
        return known is not None and known.again

    def accepted(self, booking_ref: str) -> Accepted | None:
        """What was told about exactly this booking, if it was accepted here."""
        known = self._tries.get(booking_ref[_KEY_PART])
        if known is None or not isinstance(known.told, Accepted) or known.told.booking_ref != booking_ref:
            return None
        return known.told

    async def _run(self, key: str, request_hash: bytes, run: Callable[[], Awaitable[T]]) -> T:
        current = self._tries[key] = _Try(request_hash, again=key in self._tries)
        self._tries.move_to_end(key)
        if len(self._tries) > self._limit:
            self._tries.popitem(last=False)
        outcome: Told | Refused | None = None
        try:
            told = current.told = outcome = await run()
            return told
        except Refused as refusal:
            outcome = refusal
            came_to_nothing = refusal.more.get("outcome") != "unknown" and not current.again
            if came_to_nothing and self._tries.get(key) is current:
                del self._tries[key]
            raise
        finally:
            current.under_way = False
            current.end(outcome)


def _told(outcome: Told | Refused) -> Told:
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def key_reused() -> Refused:
    """The same key with something else (422)."""
    return wrong_header(
        "Idempotency-Key",
        "This key came with a different request before.",
        "Use a new key for a new request, and the same key only to repeat the same request.",
        problems.KEY_REUSED,
    )
