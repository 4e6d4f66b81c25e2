"""The clinics' systems as this worker knows them: read when first rung for, read again now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

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
    """``systems`` is shared with whoever claims calls; it only grows or is replaced entry by entry."""

    def __init__(self, pool: Pool, transport: Transport) -> None:
        self._pool = pool
        self._transport = transport
        self.systems: dict[str, ClinicSystem] = {}
        self._gateways: dict[str, Gateway] = {}

    async def know(self, clinic_ids: Iterable[str]) -> None:
        """Read those that are not known yet; waits for PostgreSQL. What does not exist stays unknown."""
        missing = {clinic_id for clinic_id in clinic_ids if clinic_id not in self.systems}
        while missing:
            if await self._read(missing):
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def refresh(self) -> None:
        """Read all that are known again; while PostgreSQL is away, what was read before stays true."""
        if self.systems:
            await self._read(set(self.systems))

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
        for clinic_id, system in found.items():
            if self.systems.get(clinic_id) != system:
                self.systems[clinic_id] = system
                self._gateways.pop(clinic_id, None)
        return True
