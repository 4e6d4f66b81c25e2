"""Where a caller goes next: addresses under which a booking can be read, watched and cancelled."""

from __future__ import annotations

from typing import Final

import msgspec

APPOINTMENTS: Final = "/v1/appointments"


class BookingLinks(msgspec.Struct, frozen=True, rename={"self_": "self"}):
    """Relative to this API. ``cancel`` takes DELETE."""

    self_: str
    history: str
    events: str
    cancel: str


def booking_links(booking_ref: str) -> BookingLinks:
    """The links of a canonical ref."""
    address = f"{APPOINTMENTS}/{booking_ref}"
    return BookingLinks(address, address + "/history", address + "/events", address)
