"""Who was offered a seat has an open offer of it, who has an open offer was asked, and nobody overtook anybody.

That a seat is claimed for every offer, and for no other who waits, is what ``seats`` looks at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from waiting_room.audit.facts import NO_TIME_LEFT_SECONDS, ClinicFacts, Offered, Wish
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import ASKED, EventType, Stage, Status


def check(facts: ClinicFacts) -> Iterator[Offence]:
    yield from _open(facts)
    yield from _order(facts)


def _open(facts: ClinicFacts) -> Iterator[Offence]:
    def offence(kind: Kind, ref: str, what: str) -> Offence:
        return Offence(kind, facts.clinic_id, ref, what)

    by_ref: dict[str, list[Offered]] = defaultdict(list)
    together: dict[str, list[Offered]] = defaultdict(list)
    for each in facts.offers:
        if each.outcome is None:
            by_ref[each.booking_ref].append(each)
            together[each.group_id].append(each)
    overdue_from = facts.now - timedelta(seconds=NO_TIME_LEFT_SECONDS)
    for ref, row in facts.rows.items():
        mine, state = by_ref.pop(ref, []), row.state
        if state.status is Status.WAITLISTED and ref not in facts.wishes:
            yield offence(Kind.OFFER_LOST, ref, "waits, and nobody knows for what")
        if (state.stage in ASKED) != (len(mine) == 1):
            yield offence(Kind.OFFER_LOST, ref, f"is {state.status}/{state.stage or '-'} with {len(mine)} open offers")
            continue
        for each in mine:
            if (each.revision, each.provider_id, each.start_at) != (state.revision, row.provider_id, row.start_at):
                yield offence(Kind.OFFER_LOST, ref, "was offered another time than it is at")
            if each.expires_at < overdue_from:
                yield offence(Kind.OVERDUE, ref, f"was offered a seat until {each.expires_at}, and has it still")
    for ref in by_ref:
        yield offence(Kind.OFFER_LOST, ref, "has an open offer and no row")
    for offers in together.values():
        rows = [facts.rows[each.booking_ref] for each in offers if each.booking_ref in facts.rows]
        holders = sum(row.state.stage is Stage.OFFERED for row in rows)
        if holders != 1:
            what = f"is one of {len(offers)} who are offered a seat together, which {holders} of them hold"
            yield offence(Kind.OFFER_LOST, offers[0].booking_ref, what)


def _order(facts: ClinicFacts) -> Iterator[Offence]:
    """Whoever waited when a seat was offered to another who had asked later: it did not fit, or they had refused it."""
    if not facts.offers:
        return
    refused: dict[str, list[Offered]] = defaultdict(list)
    for each in facts.offers:
        if each.outcome in ("declined", "expired"):
            refused[each.booking_ref].append(each)
    first_of_group = {each.offer_id: each for each in facts.offers if each.offer_id == each.group_id}
    waiting: dict[str, tuple[int, Wish]] = {}
    for event in facts.events:
        ref, wish = event.booking_ref, facts.wishes.get(event.booking_ref)
        if event.stage is Stage.WAITING and wish is not None and event.ticket is not None:
            waiting[ref] = event.ticket, wish
        else:
            waiting.pop(ref, None)
        offer = first_of_group.get(event.offer.offer_id) if event.offer else None
        if event.event is not EventType.OFFERED or offer is None or event.ticket is None or wish is None:
            continue
        for other, (ticket, wanted) in waiting.items():
            said_no = any(
                (each.provider_id, each.start_at) == (offer.provider_id, offer.start_at)
                and each.ended_at is not None
                and each.ended_at <= event.at
                for each in refused[other]
            )
            if ticket < event.ticket and _fits(wanted, wish, offer) and not said_no:
                what = f"waited for what was offered to {ref} at {event.at}, which asked later"
                yield Offence(Kind.WAITER_SKIPPED, facts.clinic_id, other, what)


def _fits(wanted: Wish, of_other: Wish, offer: Offered) -> bool:
    return (
        wanted.service_type == of_other.service_type
        and wanted.provider_id in (None, offer.provider_id)
        and wanted.from_at <= offer.start_at < wanted.to_at
    )
