"""The clinics' systems as this worker knows them: read when first rung for, read again now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

import structlog

from clinic_adapter.factory import gateway_to
from clinic_adapter.gateway import Gateway
from clinic_adapter.transport import Transport
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.store import calls
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 0.5


class Clinics:
    """``systems`` is shared with whoever claims calls; it only grows or is replaced entry by entry. ``on_moved`` is
    called with those that turn out to be in another partition than before, and those to whose partition others have
    come, once that is in ``systems``.
    """

    def __init__(
        self, pool: Pool, transport: Transport, on_moved: Callable[[Collection[str], Collection[str]], None]
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._on_moved = on_moved
        self.systems: dict[str, ClinicSystem] = {}
        self._gateways: dict[str, Gateway] = {}

    async def know(self, clinic_ids: Iterable[str]) -> None:
        """Read those that are not known yet; waits for PostgreSQL. What does not exist stays unknown."""
        await self._until_read({clinic_id for clinic_id in clinic_ids if clinic_id not in self.systems})

    async def check(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Read known ones again that are told to be in another partition; waits for PostgreSQL."""
        systems = ((self.systems.get(clinic_id), partition) for clinic_id, partition in partitions)
        await self._until_read({known.clinic_id for known, told in systems if known and known.partition != told})

    async def refresh(self) -> bool:
        """Read all that are known again. False while PostgreSQL is away: then what was read before stays true."""
        return not self.systems or await self._read(set(self.systems))

    def shares(self, clinic_id: str) -> bool:
        """Whether this clinic, if it is known, has its partition with others."""
        system = self.systems.get(clinic_id)
        return system is not None and system.shared

    def gateway(self, clinic_id: str) -> Gateway:
        """The way to a known clinic. Raises ValueError if its system has no address."""
        gateway = self._gateways.get(clinic_id)
        if gateway is None:
            gateway = self._gateways[clinic_id] = gateway_to(self.systems[clinic_id], self._transport)
        return gateway

    async def _until_read(self, clinic_ids: set[str]) -> None:
        while clinic_ids:
            if await self._read(clinic_ids):
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, clinic_ids: set[str]) -> bool:
        """Whether PostgreSQL answered."""
        try:
            async with self._pool.acquire() as conn:
                found = await calls.load_systems(conn, clinic_ids)
        except Exception as error:
            if not passes(error):
                raise
            log.warning("clinics_not_read", error=type(error).__name__)
            return False
        moved, joined = [], []
        for clinic_id, system in found.items():
            known = self.systems.get(clinic_id)
            if known == system:
                continue
            self.systems[clinic_id] = system
            self._gateways.pop(clinic_id, None)
            if known is not None and known.partition != system.partition:
                moved.append(clinic_id)
            elif known is not None and system.shared and not known.shared:
                joined.append(clinic_id)
        if moved or joined:
            self._on_moved(moved, joined)
        return True
