"""Bookings and waiters with passes, and somebody who comes with one."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from tests.support.ingress import Answer, Caller, wish
from tests.support.world import tomorrow


async def booked(app: Caller, provider_id: str = "0001-1", hour: int = 9) -> str:
    wanted = wish(provider_id, start_at=tomorrow(hour) + timedelta(days=2))
    return str((await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})).body["booking_ref"])


async def pass_of(app: Caller, ref: str) -> str:
    made = await app.call("POST", f"/v1/appointments/{ref}/passes")
    assert made.status == 201
    assert made.body["link"] == f"/pass#{made.body['pass']}"
    return str(made.body["pass"])


async def opened(anybody: Caller, text: str) -> tuple[Answer, dict[str, str]]:
    """The answer, and the headers with which the browser comes back."""
    answer = await anybody.call("POST", "/v1/passes", json={"pass": text})
    cookie = answer.headers.get("Set-Cookie", "")
    return answer, {"Cookie": cookie.partition(";")[0]}


async def waiting(app: Caller, hour: int) -> tuple[str, str]:
    """A booking, and another of the same time that waits for it."""
    wanted = wish(start_at=tomorrow(hour) + timedelta(days=2))
    headers = [{"Idempotency-Key": str(uuid4()), "Prefer": "wait=20"} for _ in range(2)]
    first, second = [(await app.call("POST", "/v1/waitlist", json=wanted, headers=each)).body for each in headers]
    assert (first["status"], second["status"]) == ("confirmed", "waitlisted")
    return str(first["booking_ref"]), str(second["booking_ref"])
