"""POST /v1/waitlist and DELETE /v1/waitlist/{ref}: a booking that waits for a seat where none is free.

Goes through the queue as any booking does, with a key, a ref and the same promises; if something that fits is free when
it is held, it is booked at once. Where nothing at all is left at a clinic it is still let in: that is when to wait.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send

from ingress import problems
from ingress.answers import BookingAnswer, CancelAnswer
from ingress.body import BookingRequest
from ingress.book import LEADS_TO, LOCATION, PROBLEMS, take
from ingress.cancel import cancel
from ingress.limiting import RATE_LIMIT
from ingress.links import WAITLIST
from ingress.operation import (
    IDEMPOTENCY_KEY,
    IF_UNCHANGED,
    PREFER,
    REF,
    RETRY_AFTER,
    STRING,
    Answer,
    Operation,
    answering,
)


async def join(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 202; 201 where the caller waits and it is confirmed or waitlisted meanwhile, 409 where it is rejected."""
    await take(scope, receive, send, or_wait=True)


JOIN: Final = Operation(
    name="join_waitlist",
    method="POST",
    path=WAITLIST,
    summary="Book an appointment, or wait for one to come free",
    endpoint=join,
    body=BookingRequest,
    parameters=(IDEMPOTENCY_KEY, PREFER),
    answers=(
        Answer(
            status=201,
            description="Confirmed or waitlisted while the caller waited.",
            body=BookingAnswer,
            headers=LOCATION,
            always=("Location", *RATE_LIMIT),
            leads_to=LEADS_TO,
        ),
        Answer(
            status=202,
            description="Accepted: it is booked if something that fits is free, and else it waits.",
            body=BookingAnswer,
            headers={**LOCATION, "Retry-After": RETRY_AFTER},
            always=("Location", "Retry-After", *RATE_LIMIT),
            leads_to=LEADS_TO,
        ),
    ),
    problems=PROBLEMS,
)
LEAVE: Final = Operation(
    name="leave_waitlist",
    method="DELETE",
    path=f"{WAITLIST}/{{ref}}",
    summary="Wait no longer; a booking that does not wait any more is left as it is",
    endpoint=answering(partial(cancel, only_waiting=True)),
    parameters=(REF, IDEMPOTENCY_KEY, IF_UNCHANGED),
    answers=(
        Answer(
            status=202,
            description="Accepted; read the booking to see it carried out. A seat it was offered goes to the next one.",
            body=CancelAnswer,
            headers={"Location": STRING, "Retry-After": RETRY_AFTER, **RATE_LIMIT},
            always=("Location", "Retry-After", *RATE_LIMIT),
        ),
    ),
    problems=(
        problems.BAD_HEADER,
        problems.UNKNOWN_BOOKING,
        problems.NOT_WAITING,
        problems.WRONG_STATUS,
        problems.CHANGED_MEANWHILE,
        problems.KEY_REUSED,
        problems.RATE_LIMITED,
        problems.BUSY,
        problems.NOT_ACCEPTING,
        problems.OUTCOME_UNKNOWN,
        problems.READS_AWAY,
    ),
    by_pass=True,
)
