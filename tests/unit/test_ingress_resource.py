"""An address: what goes wrong in it becomes a problem, and what nobody foresaw an id."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from ingress import problems
from ingress.answers import NEXT_STEP
from ingress.app import OPERATIONS
from ingress.openapi import document
from ingress.refusal import Problem, Refused
from ingress.resource import Resource
from waiting_room.domain.appointment import Reason


async def call(endpoint: ASGIApp, method: str = "GET") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if sent and message["type"] == "http.response.start":
            raise RuntimeError("the answer has begun already")
        sent.append(message)

    scope: Scope = {"type": "http", "method": method, "path": "/x", "headers": []}
    await Resource("/x", {"GET": endpoint})(scope, receive, send)
    return sent


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("a secret of the inside")


async def fail_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("a secret of the inside")


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refused(problems.BUSY, "too much", headers={"Retry-After": "1"})


async def test_an_unforeseen_error_is_an_id_that_is_in_the_log() -> None:
    with capture_logs() as logs:
        start, body = await call(fail)
    assert start["status"] == 500
    problem = msgspec.json.decode(body["body"], type=Problem)
    assert "inside" not in body["body"].decode()
    (line,) = logs
    assert line["error_id"] == problem.error_id
    assert line["exc_info"]


async def test_an_answer_that_had_begun_is_not_begun_again() -> None:
    with capture_logs():
        (start,) = await call(fail_late)
    assert start["status"] == 200


async def test_a_refusal_is_a_problem_with_its_headers() -> None:
    start, body = await call(refuse)
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert msgspec.json.decode(body["body"], type=Problem).type == "/problems/busy"


async def test_head_is_get_and_other_methods_are_named() -> None:
    assert (await call(refuse, "HEAD"))[0]["status"] == 503
    start, _ = await call(refuse, "PUT")
    assert start["status"] == 405
    assert (b"allow", b"GET, HEAD") in start["headers"]


def test_every_operation_describes_all_it_can_answer() -> None:
    described = document(OPERATIONS)
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(OPERATIONS)
    for operation in operations:
        assert "500" in operation["responses"]
        assert bool(operation["security"]) == ("401" in operation["responses"])


def test_problem_types_are_told_apart_by_name() -> None:
    constants = [value for value in vars(problems).values() if isinstance(value, problems.ProblemType)]
    assert len(constants) == len(problems.ALL)
    documented = str(document(OPERATIONS))
    unmentioned = [name for name in problems.ALL if f"/problems/{name}`" not in documented]
    assert unmentioned == ["method-not-allowed"], "it has no operation to stand in"


@pytest.mark.parametrize("kind", problems.ALL.values(), ids=problems.ALL)
def test_every_problem_type_is_complete(kind: problems.ProblemType) -> None:
    told: dict[str, Any] = msgspec.json.decode(Refused(kind, "detail").body)
    assert told == {
        "type": f"/problems/{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": "detail",
        "next_step": kind.next_step,
    }
    assert kind.next_step.endswith(".")


def test_every_reason_has_a_next_step() -> None:
    assert set(NEXT_STEP) == set(Reason)
    assert all(step.endswith(".") for step in NEXT_STEP.values())
