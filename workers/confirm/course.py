"""The course of one booking that may start its call: claim, call, record, and back to its lane or out of it."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog
from aiokafka import ConsumerRecord

from clinic_adapter.eligibility import Question
from waiting_room.domain.clinic_call import BOOKS, CallKind, Failed
from waiting_room.domain.eligibility import Finding
from waiting_room.domain.failures import Failure
from waiting_room.envelope import CannotOpen, UnknownMasterKey
from waiting_room.kafka import Headers
from waiting_room.patient_keys import Vault
from waiting_room.store.booking import Booking
from waiting_room.store.calls import Claim, Finished, Later, Outcome, ToVerify
from waiting_room.store.verifications import Found
from waiting_room.telemetry import tracing
from waiting_room.telemetry.logs import Repeated
from workers.confirm.adopting import ELSEWHERE_SECONDS
from workers.confirm.batcher import CannotBeStored
from workers.confirm.call import WITHOUT_MASTER_KEY_SECONDS, Answered, Lease, make
from workers.confirm.clinics import Clinics
from workers.confirm.eligibility import Eligibility
from workers.confirm.ledger import Ledger
from workers.confirm.report import Report
from workers.confirm.standstill import Standstill
from workers.pacing.disposition import FINISHED, LONGEST_ASIDE_SECONDS, Action, Disposition, after_record, dispose
from workers.pacing.lanes import Lanes
from workers.pacing.tokens import Tokens
from workers.pacing.work import Verdict, Work

log = structlog.get_logger(__name__)
PutAside = Callable[[Work, str], Awaitable[None]]
WITHOUT_TOKENS_SECONDS = 60.0
"""Until what would be put aside is tried again, while there is reason to believe that the fault is not its own."""


class Course:
    """Runs works; every work it is given comes back to ``lanes`` by ``finished``, whatever happens.

    ``next_slot`` has hold give a booking the next slot that fits. ``slot_freed`` is called when a call is over and its
    clinic may have the next, before the outcome is stored.
    """

    def __init__(
        self,
        lanes: Lanes,
        ledger: Ledger,
        clinics: Clinics,
        report: Report,
        standstill: Standstill,
        put_aside: PutAside,
        slot_freed: Callable[[], None],
        next_slot: Callable[[Booking], Awaitable[None]],
        vault: Vault,
        eligibility: Eligibility,
        *,
        lease_seconds: float,
        call_seconds: float,
    ) -> None:
        self._tokens = Tokens()
        self._lanes = lanes
        self._ledger = ledger
        self._clinics = clinics
        self._report = report
        self._next_slot = next_slot
        self._vault = vault
        self._eligibility = eligibility
        self._standstill = standstill
        self._put_aside = put_aside
        self._slot_freed = slot_freed
        self._lease_seconds = lease_seconds
        self._call_seconds = call_seconds
        self._not_opened = Repeated()

    async def run(self, work: Work) -> None:
        """Returns when the work is finished with for now."""
        try:
            disposition = await self._run(work)
        except Exception as error:
            self._lanes.faulted(work)
            disposition = dispose(
                Failure.FAULT, CallKind.CONFIRM, tries=work.tries, faults=work.faults, attempt=1, jitter=_jitter()
            )
            detail = str(error) if isinstance(error, CannotBeStored) else type(error).__name__
            log.error("fault", booking_ref=work.booking_ref, detail=detail, faults=work.faults, exc_info=error)
            if disposition.action is Action.DEAD_LETTER:
                if self._tokens.spend():
                    await self._put_aside(work, detail)
                else:
                    disposition = Disposition(Action.ASIDE, WITHOUT_TOKENS_SECONDS)
        if disposition.action is Action.PARK:
            self._report.parked()
        self._lanes.finished(work, time.monotonic(), disposition)

    async def _run(self, work: Work) -> Disposition:
        started, standstills = time.monotonic(), self._standstill.times
        lease = Lease(self._lease_seconds, self._call_seconds, lambda: self._standstill.times != standstills)
        claimed = await self._ledger.claim(work.key)
        match claimed:
            case Finished(expired=expired):
                self._report.expired(expired)
                return FINISHED
            case Later(seconds=seconds, elsewhere=True):
                return Disposition(Action.ELSEWHERE, min(seconds, ELSEWHERE_SECONDS))
            case Later(seconds=seconds, expired=expired, parked=parked):
                self._report.expired(expired)
                leaves = parked or seconds > LONGEST_ASIDE_SECONDS
                return Disposition(Action.PARK if leaves else Action.ASIDE, seconds)
            case ToVerify(booking=booking):
                return await self._verify(work, booking)
            case Claim():
                return await self._call(work, claimed, lease, started, standstills)

    async def _verify(self, work: Work, booking: Booking) -> Disposition:
        """Asked before the clinic is, beside the calls there. What waits leaves its lane: nothing behind it waits too,
        and nothing that it may try at its clinic is spent.
        """
        self._lanes.verifying(work, time.monotonic())
        self._slot_freed()
        started, system = time.monotonic(), self._clinics.systems[work.clinic_id]
        try:
            patient = self._vault.open(booking.patient_key, booking.patient)
        except UnknownMasterKey as error:  # our environment's fault: the booking waits until it is mended
            if times := self._not_opened.due():
                log.error("patient_not_opened", booking_ref=work.booking_ref, detail=str(error), times=times)
            return Disposition(Action.ASIDE, WITHOUT_MASTER_KEY_SECONDS)
        except CannotOpen:
            patient = None
        if patient is None:
            return await self._give_up(work)
        question = Question(booking.app_id, patient.id, system.business_id, booking.service_type or "")
        with tracing.span("eligibility", work.booking_ref, _headers(work), outgoing=True) as span:
            finding = await self._eligibility.find_out(question)
            tracing.say(span, outcome=finding)
        seconds = time.monotonic() - started
        verified = await self._ledger.verify(Found(work.key, finding, self._eligibility.again_seconds()))
        self._report.verified(finding, verified, seconds)
        if verified.again_seconds is not None:
            return Disposition(Action.PARK, verified.again_seconds)
        return FINISHED if verified.booking.known_state.decided else Disposition(Action.RETRY)

    async def _give_up(self, work: Work) -> Disposition:
        """There is nobody to ask about; but not everybody's data is unreadable, or the fault is ours."""
        if not self._tokens.spend():
            return Disposition(Action.ASIDE, WITHOUT_TOKENS_SECONDS)
        verified = await self._ledger.verify(Found(work.key, Finding.NOBODY, 0.0))
        self._report.verified(Finding.NOBODY, verified, 0.0)
        await self._put_aside(work, "nobody can be asked about: its patient cannot be read")
        return FINISHED if verified.booking.known_state.decided else Disposition(Action.RETRY)

    async def _call(self, work: Work, claim: Claim, lease: Lease, started: float, standstills: int) -> Disposition:
        self._report.call_starts(claim)
        with tracing.span("clinic call", work.booking_ref, _headers(work), outgoing=True) as span:
            answered = await make(claim, self._clinics.gateway(work.clinic_id), lease, self._vault)
            tracing.say(span, kind=claim.kind, attempt=claim.attempt, outcome=answered.outcome)
        measured = self._standstill.times == standstills
        if not measured and answered.verdict is Verdict.FAILED:
            answered = replace(answered, verdict=Verdict.NOT_ASKED)  # it was us who did not listen
        self._lanes.answered(
            work,
            time.monotonic(),
            answered.verdict,
            seconds=answered.seconds if measured and claim.kind in BOOKS else None,
            retry_after_seconds=answered.retry_after_seconds,
        )
        slot_seconds = time.monotonic() - started if measured else None
        self._slot_freed()
        answered, disposition = self._disposed(work, claim, answered)
        outcome = Outcome(work.key, claim.attempt, answered.answer, disposition.after_seconds)
        recorded = await self._ledger.record(outcome)
        self._report.call_ended(claim, answered, recorded, slot_seconds)
        if recorded.decided:
            self._tokens.earn()
        if recorded.next_slot:
            await self._next_slot(recorded.booking)
            return Disposition(Action.PARK, recorded.again_seconds or 0.0)
        if disposition.action is Action.DEAD_LETTER:
            await self._put_aside(work, f"{answered.outcome}: {answered.detail}")
        return after_record(disposition, recorded.again_seconds, recorded.booking.known_state.clinic_state)

    def _disposed(self, work: Work, claim: Claim, answered: Answered) -> tuple[Answered, Disposition]:
        """What becomes of it. One that would be dead-lettered while nothing succeeds counts as not called at all."""
        if not isinstance(answered.answer, Failed):
            return answered, Disposition(Action.ASIDE)
        disposition = dispose(
            answered.answer.failure,
            claim.kind,
            tries=work.tries,
            faults=work.faults,
            attempt=claim.attempt,
            jitter=_jitter(),
            crowded=work.crowded,
            retry_after_seconds=answered.retry_after_seconds,
        )
        if disposition.action is Action.DEAD_LETTER and not self._tokens.spend():
            return replace(answered, answer=Failed(Failure.NOT_SENT)), Disposition(Action.PARK, WITHOUT_TOKENS_SECONDS)
        return answered, disposition


def _headers(work: Work) -> Headers:
    """Of the record that rang for it; none where it was found in PostgreSQL."""
    record = work.ring.record
    return record.headers if isinstance(record, ConsumerRecord) else ()


def _jitter() -> float:
    return random.random()
