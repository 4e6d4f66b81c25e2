"""Clinics whose calendar the platform keeps: hold decides, and there is no system to call."""

from __future__ import annotations

from typing import NoReturn

from clinic_adapter.gateway import Call, Check


class NoClinicSystem(RuntimeError):
    """A bug in the caller: this clinic has nothing to be called."""


class Builtin:
    """Takes the place of a gateway so that the choice by AdapterKind is total; it is never called."""

    async def confirm(self, call: Call, check: Check) -> NoReturn:
        """Raises NoClinicSystem."""
        raise NoClinicSystem(call.booking_ref)

    async def move(self, call: Call, check: Check) -> NoReturn:
        """Raises NoClinicSystem."""
        raise NoClinicSystem(call.booking_ref)

    async def look_up(self, booking_ref: str, revision: int, check: Check) -> NoReturn:
        """Raises NoClinicSystem."""
        raise NoClinicSystem(booking_ref)

    async def changes(self, after: str | None) -> NoReturn:
        """Raises NoClinicSystem."""
        raise NoClinicSystem(after or "from the beginning")

    async def withdraw(self, booking_ref: str, revision: int, check: Check) -> NoReturn:
        """Raises NoClinicSystem."""
        raise NoClinicSystem(booking_ref)
