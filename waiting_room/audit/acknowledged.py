"""Every acknowledged booking has exactly one row, and every row was asked for."""

from __future__ import annotations

from collections.abc import Iterator

from waiting_room.audit.facts import ACKNOWLEDGED, Answer, ClinicFacts
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import EventType
from waiting_room.messages import BookingEvent


def check(facts: ClinicFacts) -> Iterator[Offence]:
    """By the log, where each record has the time the broker gave it, and by what callers were told."""
    events_of = facts.events_of
    yield from _by_the_log(facts, events_of)
    yield from _by_the_answers(facts, events_of)
    for ref in sorted(facts.dangling):
        yield _offence(facts, Kind.LOST, ref, f"leads to {facts.aliases[ref]}, which has no row")


def _by_the_log(facts: ClinicFacts, events_of: dict[str, list[BookingEvent]]) -> Iterator[Offence]:
    for ref, asked in facts.log.books.items():
        there = ref in facts.rows or ref in facts.aliases
        if asked.in_time and not there:
            if not facts.log.waits(ref):
                yield _offence(facts, Kind.LOST, ref, f"appended in time at offset {asked.records[0].offset}")
            elif facts.settled:
                yield _offence(facts, Kind.UNSETTLED, ref, "appended and not yet held")
        elif not asked.in_time and (ref in facts.aliases or _was_booked(events_of.get(ref))):
            yield _offence(
                facts, Kind.NOT_ASKED, ref, "has a row, though its command was only appended after accept_by"
            )
    for ref, row in facts.rows.items():
        booked = _was_booked(events_of.get(ref))
        if booked and not row.key_remembered:
            yield _offence(facts, Kind.DOUBLED, ref, "its idempotency key is not on record: a retry would book again")
        if facts.log.whole and ref not in facts.log.books:
            if booked:
                yield _offence(facts, Kind.NOT_ASKED, ref, "has a row, though the log has no command for it")
            elif ref not in facts.log.cancelled:
                yield _offence(facts, Kind.NOT_ASKED, ref, "was cancelled, though the log has no command for it")


def _by_the_answers(facts: ClinicFacts, events_of: dict[str, list[BookingEvent]]) -> Iterator[Offence]:
    told: dict[str, list[Answer]] = {}
    for answer in facts.answers:
        if answer.booking_ref is not None:
            told.setdefault(answer.booking_ref, []).append(answer)
    for ref, answers in told.items():
        if any(answer.status in ACKNOWLEDGED for answer in answers):
            yield from _acknowledged(facts, ref, answers, events_of)
        elif all(answer.outcome == "none" for answer in answers) and _was_booked(events_of.get(ref)):
            yield _offence(facts, Kind.NOT_ASKED, ref, "has a row, though its caller was told that nothing came of it")


def _acknowledged(
    facts: ClinicFacts, ref: str, answers: list[Answer], events_of: dict[str, list[BookingEvent]]
) -> Iterator[Offence]:
    if ref in facts.aliases:
        return  # the booking it leads to may be another clinic's
    if ref not in facts.rows:
        asked = facts.log.books.get(ref)
        if asked is None or not asked.in_time:  # what was appended in time has been looked at
            yield _offence(facts, Kind.LOST, ref, "acknowledged to its caller, and not appended in time")
        return
    happened = {event.event for event in events_of.get(ref, [])}
    statuses = {answer.status for answer in answers}
    if 201 in statuses and not happened & {EventType.CONFIRMED, EventType.WAITLISTED}:
        yield _offence(facts, Kind.NOT_TOLD, ref, "its caller was told 201, and it was never confirmed or waitlisted")
    if 409 in statuses and not happened & {EventType.REJECTED, EventType.CANCELLED}:
        yield _offence(facts, Kind.NOT_TOLD, ref, "its caller was told 409, and it was neither rejected nor cancelled")


def _was_booked(events: list[BookingEvent] | None) -> bool:
    """Not only cancelled before it was seen."""
    return any(event.event is EventType.ACCEPTED for event in events or ())


def _offence(facts: ClinicFacts, kind: Kind, ref: str, what: str) -> Offence:
    return Offence(kind, facts.clinic_id, ref, what)
