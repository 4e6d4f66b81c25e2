"""Every state a booking can reach fits the table's CHECKs."""

from __future__ import annotations

from itertools import product

from tests.support.database import Database
from waiting_room.domain.appointment import By, EventType, IllegalTransition, Reason, State, apply

REVISIONS = 4
INSERT = """
INSERT INTO appointments (
    clinic_id, booking_ref, app_id, ticket, status, stage, clinic_state, reason, "by", revision, provider_id, start_at,
    accepted_at, decided_at
)
VALUES ('0001', '0001-' || $1::int, 'app', 1, $2, $3, $4, $5, $6, $7, 'dr', now(), now(), CASE WHEN $8 THEN now() END)
"""


def reachable() -> set[State]:
    """All of them, but for revisions without end: there are few."""
    found: set[State] = set()
    todo: list[State | None] = [None]
    while todo:
        state = todo.pop()
        for event, reason, by in product(EventType, (None, Reason.PATIENT), (None, By.PATIENT)):
            try:
                after = apply(state, event, reason=reason, by=by)
            except IllegalTransition:
                continue
            if after not in found and after.revision <= REVISIONS:
                found.add(after)
                todo.append(after)
    return found


async def test_every_reachable_state_may_be_stored(database: Database) -> None:
    states = reachable()
    assert len(states) > 10
    async with database.owner() as owner:
        for number, state in enumerate(states):
            await owner.execute(
                INSERT,
                number,
                state.status,
                state.stage,
                state.clinic_state,
                state.reason,
                state.by,
                state.revision,
                state.decided,
            )
