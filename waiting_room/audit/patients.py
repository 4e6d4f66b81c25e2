"""Pending bookings count among what their patients may have at once, and what is off counts no more."""

from __future__ import annotations

from collections.abc import Iterator

from waiting_room.audit.facts import ClinicFacts
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import Status

_PENDING = (Status.PENDING, Status.WAITLISTED)
_OFF = (Status.REJECTED, Status.CANCELLED, Status.NO_SHOW)


def check(facts: ClinicFacts) -> Iterator[Offence]:
    for ref, row in facts.rows.items():
        pending = facts.places.get(ref)
        status = row.state.status
        if status in _PENDING and not pending:
            yield Offence(Kind.PATIENT_CLAIM, facts.clinic_id, ref, f"is {status} and not counted as pending")
        elif status not in _PENDING and pending:
            yield Offence(Kind.PATIENT_CLAIM, facts.clinic_id, ref, f"is {status} and counted as pending")
        elif status in _OFF and pending is not None:
            yield Offence(Kind.PATIENT_CLAIM, facts.clinic_id, ref, f"is {status} and counted as its patient's")
    for ref in () if facts.elsewhere.bookings else facts.places.keys() - facts.rows.keys():
        yield Offence(Kind.PATIENT_CLAIM, facts.clinic_id, ref, "is counted as a patient's and has no row")
