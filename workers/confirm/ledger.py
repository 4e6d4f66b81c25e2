"""Claims and outcomes, stored for all lanes together; waits for PostgreSQL as long as it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.store import calls, verifications
from waiting_room.store.calls import Claimed, Key, Lines, Outcome, Recorded
from waiting_room.store.pool import Pool
from waiting_room.store.verifications import Found, Verified
from workers.confirm.batcher import Batcher

_Asked = tuple[Key, str]
"""A booking, and the name of whoever asks for its next call."""


class Ledger:
    """The database's side of clinic calls.

    ``run_id`` names this run of this worker, as no other before or after. ``saw_lines`` is told each clinic's (seq,
    line) after a transaction.
    """

    def __init__(
        self,
        pool: Pool,
        systems: Mapping[str, ClinicSystem],
        run_id: str,
        lease_seconds: float,
        saw_lines: Callable[[Lines], None],
    ) -> None:
        self._pool = pool
        self._systems = systems
        self._run_id = run_id
        self._numbers = count(1)
        self._lease_seconds = lease_seconds
        self._saw_lines = saw_lines
        self._claims: Batcher[_Asked, Claimed] = Batcher(self._claim, lambda asked: asked[0][0])
        self._outcomes: Batcher[Outcome, Recorded] = Batcher(self._record, lambda outcome: outcome.key[0])
        self._found: Batcher[Found, Verified] = Batcher(self._verify, lambda found: found.key[0])

    async def claim(self, key: Key) -> Claimed:
        """The call to make now for this booking, or why none is; one at a time for one booking.

        Each claim has a name of its own: a call that was made but could not be recorded is nobody's any more, and
        must not pass for one that was never sent. Raises CannotBeStored.
        """
        return await self._claims.submit((key, f"{self._run_id}/{next(self._numbers)}"))

    async def record(self, outcome: Outcome) -> Recorded:
        """Store what came of a claimed call. Raises CannotBeStored."""
        return await self._outcomes.submit(outcome)

    async def verify(self, found: Found) -> Verified:
        """Store what was found out before a call. Raises CannotBeStored."""
        return await self._found.submit(found)

    async def _claim(self, asked: Sequence[_Asked]) -> list[Claimed]:
        async with self._pool.acquire() as conn, conn.transaction():
            found, lines = await calls.claim(conn, dict(asked), self._systems, self._lease_seconds)
        self._saw_lines(lines)
        return [found[key] for key, _ in asked]

    async def _record(self, outcomes: Sequence[Outcome]) -> list[Recorded]:
        async with self._pool.acquire() as conn, conn.transaction():
            found, lines = await calls.record(conn, outcomes, self._systems)
        self._saw_lines(lines)
        return [found[outcome.key] for outcome in outcomes]

    async def _verify(self, found: Sequence[Found]) -> list[Verified]:
        async with self._pool.acquire() as conn, conn.transaction():
            verified, lines = await verifications.record(conn, found, self._systems)
        self._saw_lines(lines)
        return [verified[each.key] for each in found]
