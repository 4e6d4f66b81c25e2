"""What was found out of a patient's right to a service, what becomes of the booking, and when it is asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clinic_adapter.eligibility import Question
from clinic_adapter.errors import ClinicOverloaded, ClinicUnavailable
from waiting_room.domain.appointment import EventType, Reason, Stage, State, Status
from waiting_room.domain.clinic_call import Change
from waiting_room.domain.directory import AdapterKind, Eligibility
from waiting_room.domain.eligibility import Finding, Verification, first_event, resolve
from workers.confirm.eligibility import Eligibility as Asking
from workers.confirm.eligibility_answers import NO_SHARE, Answers
from workers.pacing.breaker import FAILURES_TO_OPEN, FIRST_OPEN_SECONDS
from workers.pacing.checks import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, TRIES, Checks

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
VERIFYING = State(Status.PENDING, Stage.VERIFYING)
OPEN, CLOSED, NONE = Eligibility.FAIL_OPEN, Eligibility.FAIL_CLOSED, Eligibility.NONE
REST, BUILTIN = AdapterKind.REST, AdapterKind.BUILTIN

VERIFIED, NOT_VERIFIED = Change(EventType.VERIFIED), Change(EventType.NOT_VERIFIED)
REJECTED, CONFIRMED = Change(EventType.REJECTED, Reason.NOT_ELIGIBLE), Change(EventType.CONFIRMED)
PATIENT = Question("app", "p-1", "business", "flu")


@pytest.mark.parametrize(
    ("finding", "asks", "changes"),
    [
        (Finding.ELIGIBLE, OPEN, (VERIFIED,)),
        (Finding.ELIGIBLE, CLOSED, (VERIFIED,)),
        (Finding.NOT_ELIGIBLE, OPEN, (REJECTED,)),
        (Finding.NOT_ELIGIBLE, CLOSED, (REJECTED,)),
        (Finding.UNKNOWN, OPEN, (NOT_VERIFIED,)),
        (Finding.UNKNOWN, CLOSED, ()),
        (Finding.ELIGIBLE, NONE, (VERIFIED,)),
        (Finding.NOT_ELIGIBLE, NONE, (NOT_VERIFIED,)),
        (Finding.UNKNOWN, NONE, (NOT_VERIFIED,)),
    ],
)
def test_what_becomes_of_a_booking(finding: Finding, asks: Eligibility, changes: tuple[Change, ...]) -> None:
    waits = finding is Finding.UNKNOWN and asks is CLOSED
    again_at = NOW + timedelta(seconds=9) if waits else None
    assert resolve(VERIFYING, finding, asks, REST, NOW, 9.0) == Verification(changes, again_at)
    decided = changes and changes[0] in (VERIFIED, NOT_VERIFIED)
    at_ours = (*changes, CONFIRMED) if decided else changes
    assert resolve(VERIFYING, finding, asks, BUILTIN, NOW, 9.0) == Verification(at_ours, again_at)


@pytest.mark.parametrize("asks", Eligibility)
@pytest.mark.parametrize("adapter", [REST, BUILTIN])
def test_a_booking_without_its_patient_is_of_no_use_to_anybody(asks: Eligibility, adapter: AdapterKind) -> None:
    rejected = Verification((Change(EventType.REJECTED, Reason.UNPROCESSABLE),))
    assert resolve(VERIFYING, Finding.NOBODY, asks, adapter, NOW, 9.0) == rejected


@pytest.mark.parametrize("finding", Finding)
@pytest.mark.parametrize(
    "state",
    [
        State(Status.PENDING, Stage.HELD),
        State(Status.CONFIRMED, None),
        State(Status.CANCELLED, None, reason=Reason.PATIENT),
    ],
)
def test_an_answer_that_comes_late_changes_nothing(state: State, finding: Finding) -> None:
    assert resolve(state, finding, CLOSED, BUILTIN, NOW, 9.0) == Verification()


def test_what_follows_a_hold() -> None:
    assert [first_event(asks, REST) for asks in Eligibility] == [None, EventType.VERIFYING, EventType.VERIFYING]
    assert first_event(NONE, BUILTIN) is EventType.CONFIRMED
    assert first_event(CLOSED, BUILTIN) is EventType.VERIFYING, "not decided in hold"


def test_an_answer_is_known_for_its_time_and_a_no_for_less() -> None:
    answers = Answers(keep_seconds=100.0, size_max=10)
    other = PATIENT._replace(patient_id="p-2")
    answers.keep(PATIENT, True, 0.0)
    answers.keep(other, False, 0.0)
    assert (answers.get(PATIENT, 99.0), answers.get(other, 100 * NO_SHARE - 0.1)) == (True, False)
    assert (answers.get(PATIENT, 100.0), answers.get(other, 100 * NO_SHARE)) == (None, None)
    assert len(answers) == 0


@pytest.mark.parametrize("field", Question._fields)
def test_an_answer_is_about_one_patient_of_one_app_and_one_service(field: str) -> None:
    answers = Answers(keep_seconds=100.0, size_max=10)
    answers.keep(PATIENT, True, 0.0)
    assert answers.get(PATIENT._replace(**{field: "another"}), 1.0) is None
    assert answers.get(Question("ap", "pp-1", "business", "flu"), 1.0) is None, "parts do not run into each other"


def test_answers_are_bounded_and_the_least_used_goes() -> None:
    answers = Answers(keep_seconds=100.0, size_max=2)
    first, second, third = (PATIENT._replace(patient_id=each) for each in "abc")
    answers.keep(first, True, 0.0)
    answers.keep(second, True, 0.0)
    answers.get(first, 1.0)
    answers.keep(third, True, 1.0)
    assert len(answers) == 2
    assert [answers.get(each, 1.0) for each in (first, second, third)] == [True, None, True]


def test_nobody_can_be_read_from_what_is_kept() -> None:
    one, other = (Answers(keep_seconds=100.0, size_max=2) for _ in range(2))
    for answers in (one, other):
        answers.keep(PATIENT, True, 0.0)
    names = [name for answers in (one, other) for name in answers._known]
    assert all(part.encode() not in name for name in names for part in PATIENT)
    assert names[0] != names[1], "the same patient has another name in another process"


def failed(checks: Checks, times: int, now: float) -> None:
    for _ in range(times):
        assert checks.may_ask(now)
        checks.failed(now, probe=checks.asked())


def test_a_system_that_fails_is_left_alone_and_probed_with_one_question() -> None:
    checks = Checks()
    failed(checks, FAILURES_TO_OPEN, 0.0)
    assert checks.away
    assert not checks.may_ask(0.0)
    now = FIRST_OPEN_SECONDS
    assert checks.may_ask(now)
    probe = checks.asked()
    assert probe
    assert not checks.may_ask(now), "one probe at a time"
    checks.said_nothing(probe=probe)
    assert checks.may_ask(now), "a probe that told nothing is asked anew"
    checks.asked()
    checks.answered()
    assert not checks.away


def test_who_waits_comes_back_the_later_the_longer_the_system_is_away() -> None:
    checks = Checks()
    assert checks.again_seconds(5.0, jitter=0.0) == FIRST_WAIT_SECONDS
    failed(checks, 1, 10.0)
    assert checks.again_seconds(30.0, jitter=0.0) == 20.0
    assert checks.again_seconds(30.0, jitter=0.99) > 10.0
    assert checks.again_seconds(10_000.0, jitter=0.0) == LONGEST_WAIT_SECONDS
    checks.answered()
    assert checks.again_seconds(10_000.0, jitter=0.0) == FIRST_WAIT_SECONDS


class System:
    """Says what it is told to, the last of it for ever; ``stands_still``: this process does, at each question."""

    def __init__(self, *answers: bool | Exception, stands_still: bool = False) -> None:
        self._answers = list(answers)
        self._stands_still = stands_still
        self.asked = self.standstills = 0

    async def is_eligible(self, question: Question) -> bool:
        self.asked += 1
        self.standstills += self._stands_still
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def asking(self) -> Asking:
        def times() -> int:
            return self.standstills

        asking = Asking(self, calls_max=2, cache_seconds=60.0, cache_max=10, times_stood_still=times)
        asking.checks.retry_seconds = lambda jitter: 0.0  # type: ignore[method-assign]
        return asking


@pytest.mark.parametrize(
    ("answers", "finding", "times"),
    [
        ((True,), Finding.ELIGIBLE, 1),
        ((False,), Finding.NOT_ELIGIBLE, 1),
        ((ClinicUnavailable("once"), True), Finding.ELIGIBLE, 2),
        ((ClinicUnavailable("again"),), Finding.UNKNOWN, TRIES),
        ((ClinicOverloaded("busy"), True), Finding.UNKNOWN, 1),
    ],
)
async def test_a_question_that_fails_is_asked_once_more_unless_it_is_one_too_many(
    answers: tuple[bool | Exception, ...], finding: Finding, times: int
) -> None:
    system = System(*answers)
    assert await system.asking().find_out(PATIENT) is finding
    assert system.asked == times


async def test_what_was_said_is_not_asked_for_again_and_silence_is() -> None:
    system = System(ClinicOverloaded("busy"), True)
    asking = system.asking()
    assert [await asking.find_out(PATIENT) for _ in range(3)] == [Finding.UNKNOWN, Finding.ELIGIBLE, Finding.ELIGIBLE]
    assert system.asked == 2


@pytest.mark.parametrize("stands_still", [False, True])
async def test_what_we_did_not_listen_to_counts_against_nobody(stands_still: bool) -> None:
    system = System(ClinicUnavailable("timed out"), stands_still=stands_still)
    asking = system.asking()
    for number in range(FAILURES_TO_OPEN):
        await asking.find_out(PATIENT._replace(patient_id=str(number)))
    assert asking.checks.away is not stands_still
    if not stands_still:
        before = system.asked
        assert await asking.find_out(PATIENT) is Finding.UNKNOWN
        assert system.asked == before, "nobody is asked who is away"
