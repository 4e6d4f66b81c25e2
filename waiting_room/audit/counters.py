"""A clinic's counters say what its rows and events say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from waiting_room.audit.facts import ClinicFacts
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import Status


def check(facts: ClinicFacts) -> Iterator[Offence]:
    def offence(what: str, ref: str | None = None) -> Offence:
        return Offence(Kind.COUNTER, facts.clinic_id, ref, what)

    counters = facts.counters
    if counters is None:
        yield offence("the clinic has no counter row or no relay cursor")
        return
    tickets = Counter(row.ticket for row in facts.rows.values() if row.ticket is not None)
    for ticket, times in tickets.items():
        if times > 1:
            yield offence(f"ticket {ticket} was given {times} times")
    missing = sorted(set(range(1, counters.last_ticket + 1)) - tickets.keys())
    if len(missing) != facts.elsewhere.tickets:
        lost = f"nobody has ticket {missing[0]}" if missing else "more are said to be elsewhere"
        yield offence(f"last_ticket is {counters.last_ticket}, and {lost}")
    if max(tickets, default=0) > counters.last_ticket:
        yield offence(f"last_ticket is {counters.last_ticket}, and there is ticket {max(tickets)}")
    last_seq = max((event.seq for event in facts.events), default=0)
    if facts.elsewhere.events and counters.last_seq != len(facts.events) + facts.elsewhere.events:
        there = f"{len(facts.events)} events are here and {facts.elsewhere.events} elsewhere"
        yield offence(f"last_seq is {counters.last_seq}, and {there}")
    elif not facts.elsewhere.events and counters.last_seq != last_seq:
        yield offence(f"last_seq is {counters.last_seq}, and the last event {last_seq}")
    line = sum(row.state.status is Status.PENDING for row in facts.rows.values())
    if counters.line != line:
        yield offence(f"line is {counters.line}, and {line} bookings are undecided")
    waiting = sum(row.state.status is Status.WAITLISTED for row in facts.rows.values())
    if counters.waiting != waiting:
        yield offence(f"{counters.waiting} are counted as waiting for a seat, and {waiting} do")
    if counters.published_seq > counters.last_seq:
        yield offence(f"published up to {counters.published_seq}, and last_seq is {counters.last_seq}")
    elif facts.settled and counters.published_seq < counters.last_seq:
        what = f"events {counters.published_seq + 1} to {counters.last_seq} are not published"
        yield Offence(Kind.UNSETTLED, facts.clinic_id, None, what)
