"""One claimed call: made within its lease, its answer or failure put into our own words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from clinic_adapter.errors import (
    ClinicCannotLookUp,
    ClinicError,
    ClinicOutcomeUnknown,
    ClinicOverloaded,
    ClinicRefused,
    ClinicUnavailable,
    LeaseLost,
)
from clinic_adapter.gateway import Call, Check, Gateway
from waiting_room.domain.appointment import Reason
from waiting_room.domain.clinic_call import Answer, CallKind, Failed, Withdrawn
from waiting_room.domain.failures import Failure
from waiting_room.envelope import CannotOpen, UnknownMasterKey
from waiting_room.patient_keys import Vault
from waiting_room.store.calls import Claim
from waiting_room.store.journal import Wish
from workers.pacing.work import Verdict

WITHOUT_MASTER_KEY_SECONDS = 5.0
"""Until it is looked whether this process can open a patient's key after all: it may have been told what it lacks."""
_REASONS = {"slot_taken": Reason.SLOT_TAKEN, "prov": Reason.PROVIDER}


@dataclass(frozen=True, slots=True)
class Answered:
    """``seconds`` is how long the clinic took; ``retry_after_seconds`` its own word on when to come back, or ours where
    it was not asked.
    """

    answer: Answer
    verdict: Verdict
    seconds: float
    retry_after_seconds: float | None = None
    detail: str = ""

    @property
    def outcome(self) -> str:
        """A label: what kind of answer it was."""
        if isinstance(self.answer, Failed):
            return self.answer.failure.value
        return type(self.answer).__name__.lower()


class Lease:
    """A claim's time as this machine knows it: counted from before the claim was asked for, and through suspend.

    ``stood_still``: whether this process has, since then. Its booking may be another worker's to call by now.
    """

    def __init__(self, lease_seconds: float, call_seconds: float, stood_still: Callable[[], bool]) -> None:
        self._stood_still = stood_still
        self._send_by = time.clock_gettime(time.CLOCK_BOOTTIME) + lease_seconds - call_seconds

    def check(self) -> None:
        """Raises LeaseLost if a call sent now could outlast the claim, or meet another's."""
        if time.clock_gettime(time.CLOCK_BOOTTIME) > self._send_by:
            raise LeaseLost("the claim was too long in coming")
        if self._stood_still():
            raise LeaseLost("we stood still")


async def make(claim: Claim, gateway: Gateway, lease: Lease, vault: Vault) -> Answered:
    """Call the clinic. Raises nothing but what is a bug of ours."""
    started = time.monotonic()
    try:
        answer = await _ask(claim, gateway, lease.check, vault)
    except (ClinicError, LeaseLost) as error:
        return _failed(error, time.monotonic() - started)
    except UnknownMasterKey as error:  # our environment's fault: the booking waits until it is mended
        return Answered(Failed(Failure.NOT_SENT), Verdict.NOT_ASKED, 0.0, WITHOUT_MASTER_KEY_SECONDS, detail=str(error))
    except (msgspec.MsgspecError, CannotOpen) as error:
        return Answered(Failed(Failure.UNPROCESSABLE), Verdict.NOT_ASKED, 0.0, detail=type(error).__name__)
    return Answered(answer, Verdict.ANSWERED, time.monotonic() - started)


async def _ask(claim: Claim, gateway: Gateway, check: Check, vault: Vault) -> Answer:
    ref, revision = claim.booking.booking_ref, claim.revision
    match claim.kind:
        case CallKind.CONFIRM:
            return await gateway.confirm(_call(claim, vault), check)
        case CallKind.MOVE:
            return await gateway.move(_moved(_call(claim, vault), claim.booking.wish), check)
        case CallKind.LOOKUP:
            return await gateway.look_up(ref, revision, check)
        case CallKind.WITHDRAW:
            await gateway.withdraw(ref, revision, check)
            return Withdrawn()


def _call(claim: Claim, vault: Vault) -> Call:
    """Raises msgspec.MsgspecError if the row cannot be made into a call, and CannotOpen."""
    booking = claim.booking
    patient = vault.open(booking.patient_key, booking.patient)
    if (
        booking.provider_id is None
        or booking.seat is None
        or booking.service_type is None
        or booking.start_at is None
        or booking.end_at is None
        or patient is None
    ):
        raise msgspec.ValidationError("the booking lacks what a clinic must know")
    return Call(
        booking.booking_ref,
        claim.revision,
        booking.provider_id,
        booking.seat,
        booking.service_type,
        booking.start_at,
        booking.end_at,
        patient,
    )


def _moved(call: Call, wish: Wish | None) -> Call:
    """The same booking where it is to be. Raises msgspec.MsgspecError if nobody knows where."""
    if wish is None or wish.revision != call.revision:
        raise msgspec.ValidationError("the booking lacks the time it is to be moved to")
    return replace(call, provider_id=wish.provider_id, seat=wish.seat, start_at=wish.start_at, end_at=wish.end_at)


def _failed(error: ClinicError | LeaseLost, seconds: float) -> Answered:
    detail = str(error)
    match error:
        case LeaseLost():
            return Answered(Failed(Failure.NOT_SENT), Verdict.NOT_ASKED, seconds, detail=detail)
        case ClinicOverloaded(retry_after_seconds=after):
            return Answered(Failed(Failure.OVERLOADED), Verdict.OVERLOADED, seconds, after, detail)
        case ClinicUnavailable(retry_after_seconds=after):
            return Answered(Failed(Failure.UNAVAILABLE), Verdict.FAILED, seconds, after, detail)
        case ClinicRefused(reason=reason):
            refused = Failed(Failure.REFUSED, _REASONS.get(reason, Reason.CLINIC_REFUSED))
            return Answered(refused, Verdict.ANSWERED, seconds, detail=refused.reason.value)
        case ClinicCannotLookUp():
            return Answered(Failed(Failure.CANNOT_LOOK_UP), Verdict.ANSWERED, seconds, detail=detail)
        case ClinicOutcomeUnknown() | _:
            return Answered(Failed(Failure.OUTCOME_UNKNOWN), Verdict.FAILED, seconds, detail=detail)
