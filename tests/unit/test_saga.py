"""The table of the saga says what the state machine does, transition by transition, and its page says the same."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from waiting_room.cli.saga import as_markdown
from waiting_room.domain.appointment import (
    ASKED,
    By,
    EventType,
    IllegalTransition,
    Reason,
    Stage,
    State,
    Status,
    apply,
)
from waiting_room.domain.saga import CONFIRM, ELIGIBILITY, HOLD, SAGA, Step, in_line, out_of_time, step_of, to_withdraw
from workers.assemble import Role

Transition = tuple[State, EventType, State]
PAGE = Path(__file__).parents[2] / "docs" / "saga.md"


def transitions() -> list[Transition]:
    """Every one that there is, of bookings that were moved twice at the most."""
    found: list[Transition] = []
    seen: set[State | None] = {None}
    todo: list[State | None] = [None]
    while todo:
        before = todo.pop()
        for event, reason, by in product(EventType, (None, Reason.PATIENT), (None, By.PATIENT)):
            revision = before.revision + 1 if before is not None and before.revision < 3 else None
            try:
                after = apply(before, event, reason=reason, by=by, revision=revision)
            except IllegalTransition:
                continue
            if before is not None:
                found.append((before, event, after))
            if after not in seen and after.revision <= 3:
                seen.add(after)
                todo.append(after)
    return found


ALL = transitions()


def test_every_stage_is_one_steps() -> None:
    waiting = {Stage.WAITING, *ASKED}  # for a seat: decided, as long as none is accepted
    assert sorted(stage for step in SAGA for stage in step.stages) == sorted(set(Stage) - waiting)
    assert {role for step in SAGA for role in step.run_by} <= set(Role)


def test_a_step_is_over_by_what_the_table_says() -> None:
    for before, event, after in ALL:
        at, to = step_of(before), step_of(after)
        if at is not None and to is not None and SAGA.index(to) > SAGA.index(at):
            assert event in at.done
        if after.status is Status.CONFIRMED and at is not None:
            assert at is CONFIRM
            assert event in CONFIRM.done


@pytest.mark.parametrize("step", SAGA, ids=lambda step: step.name)
def test_what_the_table_says_happens(step: Step) -> None:
    assert {event for before, event, _ in ALL if step_of(before) is step} >= set(step.done)
    here = next(before for before, _, _ in ALL if step_of(before) is step)
    for reason in (*step.refused, step.out_of_time):
        assert apply(here, EventType.REJECTED, reason=reason).reason is reason
    assert out_of_time(here) is step.out_of_time


@pytest.mark.parametrize("step", SAGA, ids=lambda step: step.name)
def test_a_step_is_undone_by_what_the_table_says(step: Step) -> None:
    undone = {event for before, event, after in ALL if step.stands(before) and not step.stands(after)}
    assert undone == set(step.undone_by)


def test_nothing_of_a_step_is_undone_before_what_came_after_it() -> None:
    """But for a patient who did not come: the clinic goes on having that in its record."""
    for before, event, after in ALL:
        if HOLD.stands(before) and not HOLD.stands(after):
            assert not CONFIRM.stands(after) or event is EventType.NO_SHOW


def test_who_counts_in_the_line() -> None:
    assert not in_line(None)
    for before, event, after in ALL:
        if before.status is Status.PENDING and after.status is Status.PENDING:
            assert in_line(after) - in_line(before) == (event is EventType.HELD)
        assert not (in_line(after) and after.decided)


def test_what_nobody_wants_is_withdrawn_where_a_clinic_may_have_it() -> None:
    assert to_withdraw(State(Status.CANCELLED, None, reason=Reason.PATIENT)) is False
    assert {before.status for before, _, _ in ALL if to_withdraw(before)} == {Status.CANCELLED, Status.REJECTED}


def test_asking_leaves_nothing_to_undo() -> None:
    assert not any(ELIGIBILITY.stands(before) for before, _, _ in ALL)


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text() == as_markdown(), "run: python -m waiting_room saga --markdown > docs/saga.md"
