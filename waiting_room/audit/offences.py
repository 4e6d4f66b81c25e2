"""What can be wrong, each kind in a few words; checks yield these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waiting_room.audit.facts import ClinicFacts


class Kind(StrEnum):
    """Names are stable: scripts read them from ``--json``."""

    LOST = "lost"
    DOUBLED = "doubled"
    NOT_ASKED = "not_asked"
    NOT_TOLD = "not_told"
    HISTORY = "history"
    KEPT_TWICE = "kept_twice"
    SEQUENCE = "sequence"
    OVERDUE = "overdue"
    UNSETTLED = "unsettled"
    OUT_OF_ORDER = "out_of_order"
    COUNTER = "counter"
    SEAT_TWICE = "seat_twice"
    SEAT_MISSING = "seat_missing"
    SEAT_KEPT = "seat_kept"
    SEAT_UNKNOWN = "seat_unknown"
    STOCK_LEDGER = "stock_ledger"
    DOSE_MISSING = "dose_missing"
    DOSE_KEPT = "dose_kept"
    PATIENT_CLAIM = "patient_claim"
    OFFER_LOST = "offer_lost"
    WAITER_SKIPPED = "waiter_skipped"
    CLINIC_MISSES = "clinic_misses"
    CLINIC_TWICE = "clinic_twice"
    CLINIC_UNWANTED = "clinic_unwanted"
    WEBHOOK_MISSING = "webhook_missing"
    WEBHOOK_UNFOUNDED = "webhook_unfounded"
    WEBHOOK_NOT_SEEN = "webhook_not_seen"
    WEBHOOK_MISNUMBERED = "webhook_misnumbered"


MEANING: Final[Mapping[Kind, str]] = {
    Kind.LOST: "acknowledged, processed, and has no row",
    Kind.DOUBLED: "one idempotency key made two bookings, or could",
    Kind.NOT_ASKED: "a booking that nobody asked for in time",
    Kind.NOT_TOLD: "the caller was told something else",
    Kind.HISTORY: "its events are unlawful, or lead to another row",
    Kind.KEPT_TWICE: "archived, and not gone from where it was",
    Kind.SEQUENCE: "a clinic's events are not numbered without gaps",
    Kind.OVERDUE: "undecided although its time is up",
    Kind.UNSETTLED: "still waits although all should be at rest",
    Kind.OUT_OF_ORDER: "asked later and has an earlier ticket",
    Kind.COUNTER: "a clinic's counters are not what its rows say",
    Kind.SEAT_TWICE: "two claims overlap on one seat",
    Kind.SEAT_MISSING: "keeps a seat and has no claim on it",
    Kind.SEAT_KEPT: "needs no seat and has a claim on one",
    Kind.SEAT_UNKNOWN: "claims a seat the provider does not have",
    Kind.STOCK_LEDGER: "a lot is not what its movements and claims add up to",
    Kind.DOSE_MISSING: "needs a dose, has none and is not known to be short",
    Kind.DOSE_KEPT: "needs no dose and has a claim on one",
    Kind.PATIENT_CLAIM: "counts otherwise among its patient's than it should",
    Kind.OFFER_LOST: "offered a seat without an open offer, or has one and is not",
    Kind.WAITER_SKIPPED: "a seat went to who asked later, though it fitted",
    Kind.CLINIC_MISSES: "confirmed, and not in the clinic's own record",
    Kind.CLINIC_TWICE: "booked more than once by the clinic",
    Kind.CLINIC_UNWANTED: "booked by the clinic, not confirmed or not wanted",
    Kind.WEBHOOK_MISSING: "an event without a delivery to who asks for it",
    Kind.WEBHOOK_UNFOUNDED: "a delivery of no public event, or by nobody",
    Kind.WEBHOOK_NOT_SEEN: "delivered, and not seen with a good signature",
    Kind.WEBHOOK_MISNUMBERED: "not numbered as it comes in its booking",
}


@dataclass(frozen=True, slots=True)
class Offence:
    """One thing wrong. No patient data in it."""

    kind: Kind
    clinic_id: str
    booking_ref: str | None
    what: str


Check = Callable[[ClinicFacts], Iterator[Offence]]
