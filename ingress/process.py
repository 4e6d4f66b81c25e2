"""What the process says of itself: /healthz, /readyz, /metrics, and the pages about its problem types."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from waiting_room.telemetry.exposition import page


class Alive(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct, frozen=True):
    status: Literal["ready"] = "ready"


class ProblemPage(msgspec.Struct, frozen=True):
    """What a problem type means and what to do about it."""

    type: str
    status: int
    title: str
    next_step: str


async def healthz(parts: Parts, request: Request) -> Response:
    return json_answer(Alive())


async def readyz(parts: Parts, request: Request) -> Response:
    """Ready: keys and clinics are known, and Kafka acknowledges."""
    missing = []
    if not parts.follower.caught_up.is_set():
        missing.append("keys and clinics are not read yet")
    if parts.handover.failing:
        missing.append("Kafka does not acknowledge what it is handed")
    elif not parts.knows_the_map:
        missing.append("it is not sure yet where each clinic's bookings go")
    elif parts.sealing.key is None:
        missing.append("no key that patients are sealed with is in Kafka yet")
    if parts.stopping.is_set():
        missing.append("the process is stopping")
    if missing:
        raise Refused(problems.NOT_READY, f"Not ready: {'; '.join(missing)}.", headers={"Retry-After": "1"})
    return json_answer(Ready())


async def metrics_page(parts: Parts, request: Request) -> Response:
    text, content_type = page(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type})


async def problem_page(parts: Parts, request: Request) -> Response:
    kind = problems.ALL.get(request.path_params["name"])
    if kind is None:
        raise Refused(problems.NOT_FOUND, "There is no such problem type.")
    return json_answer(ProblemPage(kind.address, kind.status, kind.title, kind.next_step))


HEALTHZ: Final = Operation(
    name="healthz",
    method="GET",
    path="/healthz",
    summary="Whether the process answers at all",
    endpoint=answering(healthz),
    answers=(Answer(status=200, description="It does.", body=Alive),),
    secured=False,
)
READYZ: Final = Operation(
    name="readyz",
    method="GET",
    path="/readyz",
    summary="Whether bookings can be accepted here",
    endpoint=answering(readyz),
    answers=(Answer(status=200, description="They can.", body=Ready),),
    problems=(problems.NOT_READY,),
    secured=False,
)
METRICS: Final = Operation(
    name="metrics",
    method="GET",
    path="/metrics",
    summary="Metrics for Prometheus",
    endpoint=answering(metrics_page),
    answers=(Answer(status=200, description="In Prometheus's text format.", media_type="text/plain"),),
    secured=False,
)
PROBLEM: Final = Operation(
    name="problem",
    method="GET",
    path="/problems/{name}",
    summary="What a problem type means",
    endpoint=answering(problem_page),
    parameters=(
        Parameter(name="name", where="path", schema=STRING, description="As `type` of a problem ends.", required=True),
    ),
    answers=(Answer(status=200, description="Its meaning, and what to do.", body=ProblemPage),),
    problems=(problems.NOT_FOUND,),
    secured=False,
)
