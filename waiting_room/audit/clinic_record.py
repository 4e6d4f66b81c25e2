"""The clinic's own record has each confirmed booking exactly once, and none that is not wanted."""

from __future__ import annotations

from collections.abc import Iterator

from waiting_room.audit.facts import ClinicFacts, Kept, Row
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import HONOURED, ClinicState, Status
from waiting_room.domain.directory import AdapterKind


def check(facts: ClinicFacts) -> Iterator[Offence]:
    """Nothing to compare where the platform keeps the calendar, or where no record was given."""
    if facts.kept is None or facts.adapter is AdapterKind.BUILTIN:
        return
    effective: dict[str, list[Kept]] = {}
    for kept in facts.kept:
        if kept.times_accepted > 1:
            what = f"was booked {kept.times_accepted} times at revision {kept.revision}"
            yield Offence(Kind.CLINIC_TWICE, facts.clinic_id, kept.booking_ref, what)
        if kept.effective:
            effective.setdefault(kept.booking_ref, []).append(kept)
    for ref, there in effective.items():
        if len(there) > 1:
            revisions = ", ".join(str(kept.revision) for kept in there)
            yield Offence(Kind.CLINIC_TWICE, facts.clinic_id, ref, f"is booked at revisions {revisions} at once")
        unwanted = _why_unwanted(facts, ref)
        if unwanted is not None:
            yield Offence(Kind.CLINIC_UNWANTED, facts.clinic_id, ref, unwanted)
    for ref, row in facts.rows.items():
        if row.state.clinic_state is ClinicState.BOOKED:
            yield from _confirmed(facts, row, effective.get(ref, []))


def _why_unwanted(facts: ClinicFacts, ref: str) -> str | None:
    """The record was read after the snapshot: what was under way there may have been booked meanwhile."""
    row = facts.rows.get(ref)
    if row is None:
        return None if facts.log.waits(ref) and not facts.settled else "is nobody's booking"
    state = row.state
    under_way = state.status is Status.PENDING or state.clinic_state is not ClinicState.NONE
    if state.status in HONOURED or (under_way and not facts.settled):
        return None
    return f"is {state.status}, clinic {state.clinic_state}"


def _confirmed(facts: ClinicFacts, row: Row, there: list[Kept]) -> Iterator[Offence]:
    ref = row.booking_ref
    if not there:
        cancelled = ref in facts.log.cancelled or facts.log.closed
        being_cancelled = cancelled and not facts.settled  # and withdrawn since the snapshot
        if not being_cancelled:
            yield Offence(Kind.CLINIC_MISSES, facts.clinic_id, ref, "is confirmed, and the clinic does not have it")
        return
    possible = {row.state.revision, row.state.moving_to}  # the record was read after the snapshot
    if all(kept.revision not in possible for kept in there):
        what = f"is at revision {there[0].revision} with the clinic, not {row.state.revision}"
        yield Offence(Kind.CLINIC_MISSES, facts.clinic_id, ref, what)
    elif row.state.moving_to is None and row.clinic_booking_id not in (
        None,
        *(kept.clinic_booking_id for kept in there),
    ):
        what = f"is {there[0].clinic_booking_id} with the clinic, not {row.clinic_booking_id}"
        yield Offence(Kind.CLINIC_MISSES, facts.clinic_id, ref, what)
