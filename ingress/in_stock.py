"""Whether what a service consumes could be had on a day: looked up each time, told by what hold allots with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from waiting_room.domain.directory import ServiceType
from waiting_room.domain.stock import Shelf
from waiting_room.store import doses
from waiting_room.store.pool import Connection


class InStock:
    """What is free at some clinics."""

    def __init__(self, shelves: Mapping[str, Shelf]) -> None:
        self._shelves = shelves
        self._known: dict[tuple[str, str, date], bool] = {}

    @classmethod
    async def read(cls, connection: Connection, wanted: Iterable[tuple[str, ServiceType]]) -> InStock:
        """Of what these services consume, each at its clinic; nothing is asked where they consume nothing."""
        pairs = {(clinic_id, each.product) for clinic_id, service in wanted for each in service.consumes}
        return cls(await doses.shelves(connection, sorted(pairs)) if pairs else {})

    def has(self, clinic_id: str, service: ServiceType, day: date) -> bool:
        """Whether a booking of this service for that day would get its doses. The clinic's calendar counts."""
        if not service.consumes:
            return True
        key = clinic_id, service.service_type, day
        if key not in self._known:
            self._known[key] = self._shelves[clinic_id].has(service.consumes, day)
        return self._known[key]
