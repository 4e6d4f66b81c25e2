"""Every row follows from its events, every clinic's events from their numbers, and nothing waits too long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from waiting_room.audit.facts import NO_TIME_LEFT_SECONDS, ClinicFacts, Row
from waiting_room.audit.offences import Kind, Offence
from waiting_room.audit.stays import order_of
from waiting_room.domain.appointment import OF_THE_WISH, ClinicState, IllegalTransition, State, Status, apply
from waiting_room.domain.directory import AdapterKind
from waiting_room.messages import BookingEvent


def check(facts: ClinicFacts) -> Iterator[Offence]:
    """Replays each booking through the state machine it was written by."""
    yield from _numbers(facts)
    events_of = facts.events_of
    for ref, row in facts.rows.items():
        wrong = _replay(row, events_of.get(ref, []))
        if wrong is not None:
            yield Offence(Kind.HISTORY, facts.clinic_id, ref, wrong)
        yield from _waiting(facts, row)
    for ref in facts.kept_twice:
        yield Offence(Kind.KEPT_TWICE, facts.clinic_id, ref, "is archived and here, or archived twice")
    for ref in events_of.keys() - facts.rows.keys():
        yield Offence(Kind.HISTORY, facts.clinic_id, ref, "has events and no row")
    yield from _order(facts)


def _numbers(facts: ClinicFacts) -> Iterator[Offence]:
    for ref, what in facts.unreadable:
        yield Offence(Kind.HISTORY, facts.clinic_id, ref, what)
    left, number = facts.elsewhere.events, 1
    for event in facts.events:
        if 0 < event.seq - number <= left:  # those in between are in months that are detached
            left -= event.seq - number
            number = event.seq
        if event.seq != number:
            what = f"event {event.seq} is where {number} should be"
            yield Offence(Kind.SEQUENCE, facts.clinic_id, event.booking_ref, what)
            return  # every later one is off by as much
        number += 1


def _replay(row: Row, events: list[BookingEvent]) -> str | None:
    """What is wrong with this history, if anything."""
    state: State | None = None
    for number, event in enumerate(events, start=1):
        try:
            state = apply(state, event.event, reason=event.reason, by=event.by, revision=event.moving_to)
        except IllegalTransition as error:
            return f"event {event.seq}: {error}"
        if event.row_version != number:
            return f"event {event.seq} left row_version {event.row_version}, not {number}"
        own = state if event.event in OF_THE_WISH else event
        told = State(event.status, event.stage, event.clinic_state, own.reason, own.by, event.revision, event.moving_to)
        if told != state:
            return f"event {event.seq} says {_words(told)}, which follows is {_words(state)}"
    if state is None:
        return "has a row and no events"
    if row.state != state:
        return f"the row says {_words(row.state)}, its events {_words(state)}"
    if row.row_version != len(events):
        return f"row_version is {row.row_version} after {len(events)} events"
    last = events[-1]
    if (row.ticket, row.provider_id, row.start_at, row.end_at) != (
        last.ticket,
        last.provider_id,
        last.start_at,
        last.end_at,
    ):
        return "the row has another ticket, provider or time than its last event"
    if any(event.app_id != row.app_id for event in events):
        return "an event names another app"
    return None


def _words(state: State) -> str:
    why = f" because {state.reason}" if state.reason else ""
    to = f", moving to {state.moving_to}" if state.moving_to else ""
    return f"{state.status}/{state.stage or '-'}{why}, clinic {state.clinic_state}, revision {state.revision}{to}"


def _waiting(facts: ClinicFacts, row: Row) -> Iterator[Offence]:
    state, ref = row.state, row.booking_ref
    at_rest = state.decided and state.clinic_state in (ClinicState.NONE, ClinicState.BOOKED) and not state.moving_to
    if facts.settled and not at_rest:
        yield Offence(Kind.UNSETTLED, facts.clinic_id, ref, f"is {_words(state)}")
    overdue_from = facts.now - timedelta(seconds=NO_TIME_LEFT_SECONDS)
    nobody_calls = state.clinic_state is ClinicState.NONE
    if state.status is Status.PENDING and nobody_calls and (row.hold_until is None or row.hold_until < overdue_from):
        yield Offence(Kind.OVERDUE, facts.clinic_id, ref, f"is held until {row.hold_until} and not decided")
    if state.status is Status.CONFIRMED and facts.adapter is not AdapterKind.BUILTIN and nobody_calls:
        yield Offence(Kind.HISTORY, facts.clinic_id, ref, "is confirmed, though its clinic never said so")


def _order(facts: ClinicFacts) -> Iterator[Offence]:
    """Tickets grow in the order of the log, through all partitions the clinic was in.

    A redriven record comes where it was sent back to.
    """
    latest, latest_ref = 0, ""
    held = []
    for ref, asked in facts.log.books.items():
        if any(record.redriven for record in asked.records):
            continue
        orders = [order_of(each, facts.stays, whole=facts.log.whole) for each in asked.records if each.in_time]
        if orders and None not in orders:
            held.append((min(order for order in orders if order is not None), ref))
    for _, ref in sorted(held):
        row = facts.rows.get(ref)
        if row is None or row.ticket is None:
            continue
        if row.ticket < latest:
            what = f"has ticket {row.ticket}, though {latest_ref} asked before it and has {latest}"
            yield Offence(Kind.OUT_OF_ORDER, facts.clinic_id, ref, what)
        else:
            latest, latest_ref = row.ticket, ref
