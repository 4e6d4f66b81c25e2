"""Where a caller goes next: addresses under which a booking can be read, watched and cancelled."""

from __future__ import annotations

from typing import Final

import msgspec

APPOINTMENTS: Final = "/v1/appointments"
WAITLIST: Final = "/v1/waitlist"
OFFERS: Final = "/v1/offers"


class BookingLinks(msgspec.Struct, frozen=True, rename={"self_": "self"}):
    """Relative to this API. ``cancel`` takes DELETE."""

    self_: str
    history: str
    events: str
    cancel: str


class Link(msgspec.Struct, frozen=True):
    """What may be done next, and how: ``method`` at ``href``."""

    method: str
    href: str


JOIN_WAITLIST: Final = Link("POST", WAITLIST)
"""With the body that found nothing free."""


class OfferLinks(msgspec.Struct, frozen=True):
    """Relative to this API; both take POST."""

    accept: str
    decline: str


def offer_links(offer_id: str) -> OfferLinks:
    return OfferLinks(f"{OFFERS}/{offer_id}/accept", f"{OFFERS}/{offer_id}/decline")


def booking_links(booking_ref: str) -> BookingLinks:
    """The links of a canonical ref."""
    address = f"{APPOINTMENTS}/{booking_ref}"
    return BookingLinks(address, address + "/history", address + "/events", address)
