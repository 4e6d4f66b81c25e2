"""Offences against those who wait for a seat, to plant in an audited world."""

from __future__ import annotations

from tests.support.planting import Plant, by_sql
from waiting_room.audit.offences import Kind

PLANTS: list[Plant] = [
    by_sql("an offer is gone", "asked", "DELETE FROM offers", Kind.OFFER_LOST),
    by_sql(
        "an offer was ended behind a booking's back",
        "asked",
        "UPDATE offers SET outcome = 'expired', ended_at = now()",
        Kind.OFFER_LOST,
    ),
    by_sql(
        "an offer is of another time",
        "asked",
        "UPDATE offers SET start_at = start_at + interval '1 hour'",
        Kind.OFFER_LOST,
    ),
    by_sql(
        "somebody has an offer and was not asked",
        "wants another",
        "UPDATE offers SET booking_ref = {wants another}",
        Kind.OFFER_LOST,
    ),
    by_sql("nobody knows what is waited for", "wants another", "DELETE FROM waitlist", Kind.OFFER_LOST),
    by_sql(
        "nobody has ended an offer",
        "asked",
        "UPDATE offers SET made_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'",
        Kind.OVERDUE,
    ),
    by_sql(
        "a seat went to who asked later",
        "wants another",
        "UPDATE waitlist SET from_at = o.start_at, to_at = o.end_at FROM offers o "
        "WHERE waitlist.booking_ref = {wants another}",
        Kind.WAITER_SKIPPED,
    ),
    by_sql(
        "what is waited for was offered and its seat is not held",
        "asked",
        "DELETE FROM seat_claims WHERE booking_ref = {asked}",
        Kind.SEAT_MISSING,
    ),
    by_sql("others are counted as waiting", None, "UPDATE clinic_counters SET waiting = 9", Kind.COUNTER),
]
