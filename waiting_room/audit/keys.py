"""One idempotency key makes one booking, at whichever clinics it was sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set

from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.booking_ref import clinic_of


def check(same_key: Iterable[Collection[str]], leads_to: Mapping[str, str], booked: Set[str]) -> Iterator[Offence]:
    """``same_key``: refs of one key. ``leads_to``: aliases to the booking their key had made before.

    ``booked``: refs with a row of their own that was not only cancelled before it was seen.
    """
    for refs in same_key:
        bookings = sorted({leads_to.get(ref, ref) for ref in refs} & booked)
        for ref in bookings[1:]:
            yield Offence(Kind.DOUBLED, clinic_of(ref), ref, f"was made with the same key as {bookings[0]}")
