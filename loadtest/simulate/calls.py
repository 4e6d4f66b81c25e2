"""What comes of a call at a simulated clinic, put into the product's own words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from loadtest.clinics.books import BookingRequest
from loadtest.clinics.books import Patient as ClinicPatient
from loadtest.clinics.clinic import Clinic
from loadtest.clinics.course import Course, Fate
from waiting_room.domain.clinic_call import Answer, Booked, CallKind, Failed, NotThere, Withdrawn
from waiting_room.domain.failures import Failure
from workers.pacing.work import Verdict

ROUND_TRIP_SECONDS = 0.01
"""To PostgreSQL and back, and to a clinic that answers at once."""

_PATIENT = ClinicPatient(id="p")


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back from a clinic."""

    answer: Answer
    verdict: Verdict
    seconds: float
    retry_after_seconds: float | None = None


def heard_of(course: Course, call_seconds: float) -> tuple[float, Heard | None]:
    """After how long the caller hears what; None for what only the clinic's own doing decides."""
    match course.fate:
        case Fate.OVERLOADED | Fate.DOWN:
            return ROUND_TRIP_SECONDS, Heard(
                Failed(Failure.OVERLOADED), Verdict.OVERLOADED, ROUND_TRIP_SECONDS, float(ceil(2.0))
            )
        case Fate.ERROR | Fate.CUT:
            return ROUND_TRIP_SECONDS, Heard(Failed(Failure.OUTCOME_UNKNOWN), Verdict.FAILED, ROUND_TRIP_SECONDS)
        case _:
            return min(course.after_seconds if course.fate is not Fate.LATE else call_seconds, call_seconds), None


def act(clinic: Clinic, course: Course, booking_ref: str, kind: CallKind, at: datetime) -> Heard:
    seconds = course.after_seconds + ROUND_TRIP_SECONDS
    match kind:
        case CallKind.CONFIRM | CallKind.MOVE:
            reply = clinic.book(_request(booking_ref, at), course, at)
            if course.fate is Fate.DROPPED:
                return Heard(Failed(Failure.OUTCOME_UNKNOWN), Verdict.FAILED, seconds)
            if reply.record is None:
                return Heard(Failed(Failure.REFUSED), Verdict.ANSWERED, seconds)
            return Heard(Booked(reply.record.clinic_booking_id), Verdict.ANSWERED, seconds)
        case CallKind.LOOKUP:
            reply = clinic.look_up(booking_ref)
            if reply.record is None:
                return Heard(NotThere(), Verdict.ANSWERED, seconds)
            if not reply.record.effective_bookings:
                return Heard(NotThere(final=True), Verdict.ANSWERED, seconds)
            return Heard(Booked(reply.record.clinic_booking_id), Verdict.ANSWERED, seconds)
        case CallKind.WITHDRAW:
            clinic.withdraw(booking_ref, 1, at)
            return Heard(Withdrawn(), Verdict.ANSWERED, seconds)


def _request(booking_ref: str, at: datetime) -> BookingRequest:
    return BookingRequest(
        booking_ref=booking_ref,
        revision=1,
        provider_id="p",
        seat=0,
        service_type="s",
        start_at=at,
        end_at=at,
        patient=_PATIENT,
    )
