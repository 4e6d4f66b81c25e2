"""No two claims overlap on a seat, and claims are there exactly for bookings that keep one.

Looks for itself and does not trust the database's constraint. Of bookings of days whose claims have been put away
(docs/storage.md) there is nothing to see.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from waiting_room.audit.facts import Claim, ClinicFacts, Row
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.claim_days import utc_day


def check(facts: ClinicFacts) -> Iterator[Offence]:
    yield from _overlaps(facts)
    claims_of: dict[str, list[Claim]] = {}
    for claim in facts.claims:
        claims_of.setdefault(claim.booking_ref, []).append(claim)
        capacity = facts.capacity.get(claim.provider_id, 0)
        if claim.seat >= capacity and claim.busy_until > facts.now:  # of what is over, capacity may have changed since
            what = f"claims seat {claim.seat} of {claim.provider_id}, which has {capacity}"
            yield Offence(Kind.SEAT_UNKNOWN, facts.clinic_id, claim.booking_ref, what)
    for ref, row in facts.rows.items():
        yield from _exactly(facts, row, claims_of.pop(ref, []))
    for ref, claims in claims_of.items():
        what = f"claims seat {claims[0].seat} of {claims[0].provider_id} and has no row"
        yield Offence(Kind.SEAT_KEPT, facts.clinic_id, ref, what)


def _overlaps(facts: ClinicFacts) -> Iterator[Offence]:
    """A sweep over each seat's claims by start: one that starts before the latest end so far meets that claim."""

    def seat(claim: Claim) -> tuple[str, int]:
        return claim.provider_id, claim.seat

    for (provider_id, number), claims in groupby(
        sorted(facts.claims, key=lambda claim: (*seat(claim), claim.start_at, claim.busy_until)), seat
    ):
        reaching: Claim | None = None
        for claim in claims:
            if reaching is not None and claim.start_at < reaching.busy_until:
                what = f"overlaps {reaching.booking_ref} on seat {number} of {provider_id} at {claim.start_at}"
                yield Offence(Kind.SEAT_TWICE, facts.clinic_id, claim.booking_ref, what)
            if reaching is None or claim.busy_until > reaching.busy_until:
                reaching = claim


def _exactly(facts: ClinicFacts, row: Row, claims: list[Claim]) -> Iterator[Offence]:
    def offence(kind: Kind, what: str) -> Offence:
        return Offence(kind, facts.clinic_id, row.booking_ref, what)

    if row.archived or not row.state.keeps_seat:
        if claims:
            yield offence(Kind.SEAT_KEPT, f"is {row.state.status} and still claims a seat of {claims[0].provider_id}")
        return
    if row.start_at is not None and utc_day(row.start_at) < facts.claims_since:
        return
    mine = [claim for claim in claims if claim.revision == row.state.revision]
    if not mine:
        yield offence(Kind.SEAT_MISSING, f"is {row.state.status} and claims no seat")
        return
    wished = [claim for claim in claims if claim.revision == row.state.moving_to]
    if row.state.moving_to is not None and not wished:
        yield offence(Kind.SEAT_MISSING, "is to be moved and claims no seat there")
    if len(claims) > len(mine) + len(wished):
        yield offence(Kind.SEAT_KEPT, "still claims the seat of another revision")
    [claim] = mine
    fits = (claim.provider_id, claim.seat, claim.start_at) == (row.provider_id, row.seat, row.start_at)
    if not fits or row.end_at is None or claim.busy_until < row.end_at:
        yield offence(Kind.SEAT_MISSING, "claims another seat or time than the one it was given")
