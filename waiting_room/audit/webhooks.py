"""Every public event has a delivery to each endpoint that asks for it, and what was delivered arrived, numbered so that
whoever gets all of a booking's events sees no gap.

Endpoints are looked at as they are now: an event type that was added to one later is asked for from when the endpoint
was made or last switched on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from waiting_room.audit.facts import ClinicFacts, Endpoint
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import PUBLIC_EVENTS
from waiting_room.messages import BookingEvent


def check(facts: ClinicFacts) -> Iterator[Offence]:
    public = {event.seq: event for event in facts.events if event.event in PUBLIC_EVENTS}
    yield from _missing(facts, public)
    ref_of = {seq: event.booking_ref for seq, event in public.items()}
    for (endpoint_id, seq), state in facts.deliveries.items():
        ref = ref_of.get(seq)
        if ref is None:
            what = f"endpoint {endpoint_id} is sent event {seq}, which is none or not public"
            yield Offence(Kind.WEBHOOK_UNFOUNDED, facts.clinic_id, None, what)
        if facts.settled and state == "due":
            what = f"event {seq} is still to be delivered to {endpoint_id}"
            yield Offence(Kind.UNSETTLED, facts.clinic_id, ref, what)
        if state == "delivered" and facts.received is not None and not facts.received.get((endpoint_id, seq)):
            what = f"event {seq} was delivered to {endpoint_id}, which has not seen it verified"
            yield Offence(Kind.WEBHOOK_NOT_SEEN, facts.clinic_id, ref, what)
    last_seq = max((event.seq for event in facts.events), default=0)
    number_of = _numbers(public)
    for (endpoint_id, seq), seen in (facts.received or {}).items():
        sent = (endpoint_id, seq) in facts.deliveries or (
            seq in public and not facts.settled
        )  # sent since the snapshot
        if not sent and seq <= last_seq:
            what = f"{endpoint_id} has seen event {seq}, which was never sent to it"
            yield Offence(Kind.WEBHOOK_UNFOUNDED, facts.clinic_id, ref_of.get(seq), what)
        elif not seen.verified:
            what = f"{endpoint_id} has seen event {seq} with a signature that does not hold"
            yield Offence(Kind.WEBHOOK_NOT_SEEN, facts.clinic_id, ref_of.get(seq), what)
        elif seen.booking_sequence is not None and seen.booking_sequence != number_of.get(seq, seen.booking_sequence):
            what = f"{endpoint_id} has seen event {seq} as its booking's number {seen.booking_sequence}"
            yield Offence(Kind.WEBHOOK_MISNUMBERED, facts.clinic_id, ref_of.get(seq), what)


def _numbers(public: dict[int, BookingEvent]) -> dict[int, int]:
    """By seq: 1, 2, 3 ... within each booking."""
    numbers: dict[int, int] = {}
    counts: Counter[str] = Counter()
    for seq in sorted(public):
        counts[public[seq].booking_ref] += 1
        numbers[seq] = counts[public[seq].booking_ref]
    return numbers


def _missing(facts: ClinicFacts, public: dict[int, BookingEvent]) -> Iterator[Offence]:
    latest: dict[str, int] = {}
    for endpoint_id, seq in facts.deliveries:
        latest[endpoint_id] = max(seq, latest.get(endpoint_id, 0))
    for seq, event in public.items():
        for endpoint in facts.endpoints:
            if not _asks_for(endpoint, event) or (endpoint.endpoint_id, seq) in facts.deliveries:
                continue
            # Deliveries are made in the order of events: one that is passed over does not come any more.
            if facts.settled or seq < latest.get(endpoint.endpoint_id, 0):
                what = f"event {seq}, {event.event}, has no delivery to {endpoint.endpoint_id}"
                yield Offence(Kind.WEBHOOK_MISSING, facts.clinic_id, event.booking_ref, what)


def _asks_for(endpoint: Endpoint, event: BookingEvent) -> bool:
    owned = endpoint.app_id is None or endpoint.app_id == event.app_id
    return owned and event.event in endpoint.events and endpoint.told_from <= event.at
