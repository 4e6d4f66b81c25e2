"""Whether a patient may have a service: what a service asks for, what was found, and what that means for a booking.

Asked between hold and the clinic call, of one system for all clinics. Pure; decided under the clinic's lock. Asking
changes nothing anywhere, so it is neither claimed nor leased: whoever asks twice gets two answers, and the first that
is stored counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from waiting_room.domain.appointment import EventType, Reason, Stage, State
from waiting_room.domain.clinic_call import Change
from waiting_room.domain.directory import AdapterKind, Eligibility


class Finding(StrEnum):
    """What asking came to; values are metric labels."""

    ELIGIBLE = "eligible"
    NOT_ELIGIBLE = "not_eligible"
    UNKNOWN = "unknown"
    """No answer that counts: the system is away, or says that it is too busy."""
    NOBODY = "nobody"
    """There is nobody to ask about: what is kept of the patient cannot be read any more."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What becomes of a booking. ``again_at``: asked again then; None where nothing is left to ask."""

    changes: tuple[Change, ...] = ()
    again_at: datetime | None = None


def first_event(asks: Eligibility, adapter: AdapterKind) -> EventType | None:
    """What follows the hold in the same transaction: a check to wait for, a decision, or nothing yet."""
    if asks is not Eligibility.NONE:
        return EventType.VERIFYING
    return EventType.CONFIRMED if adapter is AdapterKind.BUILTIN else None


def resolve(
    state: State, finding: Finding, asks: Eligibility, adapter: AdapterKind, now: datetime, again_seconds: float
) -> Verification:
    """What ``finding`` means for a booking of a service that ``asks`` so; nothing, if it waits for none any more.

    A service that has stopped asking meanwhile takes whatever was found for an answer. Where the platform keeps the
    calendar nobody else is to be asked: the booking is decided here. Without its patient it is of no use to a clinic.
    """
    if state.stage is not Stage.VERIFYING:
        return Verification()
    if finding is Finding.NOBODY:
        return Verification((Change(EventType.REJECTED, Reason.UNPROCESSABLE),))
    if finding is Finding.UNKNOWN and asks is Eligibility.FAIL_CLOSED:
        return Verification(again_at=now + timedelta(seconds=again_seconds))
    if finding is Finding.NOT_ELIGIBLE and asks is not Eligibility.NONE:
        return Verification((Change(EventType.REJECTED, Reason.NOT_ELIGIBLE),))
    found = Change(EventType.VERIFIED if finding is Finding.ELIGIBLE else EventType.NOT_VERIFIED)
    confirmed = (Change(EventType.CONFIRMED),) if adapter is AdapterKind.BUILTIN else ()
    return Verification((found, *confirmed))
