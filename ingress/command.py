"""What booking and cancelling have in common: the fence around a command, and the truth when it is not accepted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog
from starlette.responses import Response

from ingress import admission, problems
from ingress.admission import Refusal
from ingress.answers import problem_answer
from ingress.handover import NotHandedOver, OutcomeUnknown
from ingress.links import booking_links
from ingress.parts import Parts
from ingress.problems import ProblemType
from ingress.refusal import Outcome, Refused
from waiting_room.intake_keys import SealingKey
from waiting_room.kafka import Headers
from waiting_room.messages import Book, Cancel, Closure, Reschedule, encode
from waiting_room.settings import Settings
from waiting_room.telemetry import metrics

log = structlog.get_logger(__name__)
UNKNOWN_RETRY_SECONDS: Final = 2

_DETAIL: Final[Mapping[ProblemType, str]] = {
    problems.NOT_ACCEPTING: "Kafka does not acknowledge what it is handed.",
    problems.NOT_READY: "This ingress finds out first where each clinic's bookings go and how they are sealed.",
    problems.BUSY: "As many requests as this ingress takes are waiting for Kafka.",
    problems.BACKLOG: "More was accepted for this clinic's partition than could be held yet.",
    problems.LINE_TOO_LONG: "The wait at this clinic is longer than it allows.",
    problems.NOTHING_FREE: "All of this clinic's times are spoken for, as far ahead as bookings are taken.",
}


class Fence(NamedTuple):
    """A command counts only if the broker appends it by ``accept_by``: whole milliseconds, as the broker counts."""

    accepted_at: datetime
    accept_by: datetime
    accept_by_ms: int


def fence(settings: Settings) -> Fence:
    """Around a command that is accepted now."""
    now_ms = time.time_ns() // 1_000_000
    accept_by_ms = now_ms + settings.ingress_accept_within_ms
    return Fence(
        datetime.fromtimestamp(now_ms / 1000, UTC), datetime.fromtimestamp(accept_by_ms / 1000, UTC), accept_by_ms
    )


def overloaded(parts: Parts) -> Response | None:
    """The answer (503, outcome none) while as many commands as may wait for Kafka do.

    Asked for before anything else, and made beforehand: when there is too much to do, refusing has to cost little.
    """
    if not parts.handover.full:
        return None
    _BUSY_REFUSED.inc()
    return _BUSY


def require_producing(parts: Parts, partition: int, booking_ref: str | None) -> None:
    """Raises Refused (503, outcome none) while a command may not be handed to Kafka.

    Asked after the command was fenced, of the partition that the directory gives at that moment: so a command whose
    partition was chosen with a map that has been replaced since is appended within its fence, or does not count.
    """
    takes = parts.handover.takes(partition)
    if (refusal := admission.producing(takes=takes, knows_the_map=parts.knows_the_map)) is not None:
        raise refused(refusal, booking_ref)


def require_sealing(parts: Parts, booking_ref: str) -> SealingKey:
    """What the patient is sealed with. Raises Refused (503, outcome none) while there is no such key."""
    key = parts.sealing.key
    if key is None:
        raise refused(admission.NO_INTAKE_KEY, booking_ref)
    return key


Handed = Book | Cancel | Reschedule | Closure


async def hand_over(parts: Parts, partition: int, command: Handed, accept_by_ms: int, headers: Headers = ()) -> int:
    """Append the command; its offset. Raises Refused (503) with the outcome, none or unknown."""
    ref = None if isinstance(command, Closure) else command.booking_ref
    try:
        return await parts.handover.append(partition, command.clinic_id, encode(command), accept_by_ms, headers)
    except NotHandedOver as error:
        raise refused(admission.NOT_ACCEPTING, ref) from error
    except OutcomeUnknown as error:
        log.warning("outcome_unknown", booking_ref=ref, partition=partition, why=str(error))
        raise _refused(
            problems.OUTCOME_UNKNOWN,
            "It was handed to Kafka, which has not said in time that it was appended.",
            "unknown",
            UNKNOWN_RETRY_SECONDS,
            ref,
        ) from error


def refused(refusal: Refusal, booking_ref: str | None = None, **more: Any) -> Refused:
    """What a caller is told whose command was not handed over. ``more``: further members of the problem."""
    metrics.REFUSED.labels(refusal.kind.name).inc()
    return _refused(refusal.kind, _DETAIL[refusal.kind], "none", refusal.retry_after_seconds, booking_ref, **more)


def _refused(
    kind: ProblemType, detail: str, outcome: Outcome, retry_after_seconds: int, booking_ref: str | None, **more: Any
) -> Refused:
    """With the ref where it is known: a retry of what was accepted earlier can be refused, and read by it."""
    if booking_ref is not None:
        more |= {"booking_ref": booking_ref, "links": booking_links(booking_ref)}
    return Refused(kind, detail, headers={"Retry-After": str(retry_after_seconds)}, more={"outcome": outcome, **more})


_BUSY_REFUSED: Final = metrics.REFUSED.labels(admission.BUSY.kind.name)
_BUSY: Final = problem_answer(
    _refused(admission.BUSY.kind, _DETAIL[admission.BUSY.kind], "none", admission.BUSY.retry_after_seconds, None)
)
