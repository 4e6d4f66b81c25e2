"""Whether a patient may have a service: what the system that knows must be able to do for us, and how it is asked.

    question                                                                    answers
    POST {base}/checks  {"app_id", "patient_id", "business_id", "service_type"}   200 {"eligible"}

In a body, since an address is logged on its way. Asking changes nothing, so it may be repeated. Why somebody is not
eligible may stand in the answer and is not read: it says something of the patient, and nobody here needs it.

429 and 503 (with Retry-After): too busy. Whatever else is not an answer of this dialect is no answer at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol

import msgspec
from yarl import URL

from clinic_adapter.errors import ClinicOutcomeUnknown, ClinicOverloaded, ClinicUnavailable
from clinic_adapter.transport import Transport, open_transport


class Question(NamedTuple):
    """``patient_id`` is the patient's own number in the app."""

    app_id: str
    patient_id: str
    business_id: str
    service_type: str


class EligibilityGateway(Protocol):
    """The system that knows who may have what. Safe to use from many tasks at once; one call, one deadline."""

    async def is_eligible(self, question: Question) -> bool:
        """Raises ClinicUnavailable, of ``errors``, whenever there is no answer that counts."""
        ...


class NoEligibility:
    """There is no such system: it is away, for whoever asks."""

    async def is_eligible(self, question: Question) -> bool:
        """Raises ClinicUnavailable."""
        raise ClinicUnavailable("WAITING_ROOM_ELIGIBILITY_URL is not set")


class _Answer(msgspec.Struct, frozen=True):
    eligible: bool


_encode = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(_Answer).decode


class HttpEligibility:
    """An EligibilityGateway; ``base`` is the system's address."""

    def __init__(self, transport: Transport, base: str) -> None:
        self._transport = transport
        self._checks = URL(base.rstrip("/") + "/checks")

    async def is_eligible(self, question: Question) -> bool:
        """See EligibilityGateway."""
        try:
            reply = await self._transport.exchange("POST", self._checks, _may_be_sent, body=_encode(question._asdict()))
        except ClinicOutcomeUnknown as error:
            raise ClinicUnavailable(str(error)) from error
        if reply.status in (429, 503):
            raise ClinicOverloaded(f"status {reply.status}", reply.retry_after_seconds)
        if reply.status != 200:
            raise ClinicUnavailable(f"status {reply.status}", reply.retry_after_seconds)
        try:
            return _read(reply.body).eligible
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ClinicUnavailable("status 200 with a body we cannot read") from error


@asynccontextmanager
async def open_eligibility(
    base: str, *, token: str | None, calls_max: int, call_seconds: float
) -> AsyncIterator[EligibilityGateway]:
    """The gateway to the system at ``base``; where that is empty, one that is always away."""
    if not base:
        yield NoEligibility()
        return
    async with open_transport(calls_max=calls_max, call_seconds=call_seconds, token=token) as transport:
        yield HttpEligibility(transport, base)


def _may_be_sent() -> None:
    """Nothing is claimed before a question, so nothing can be lost until it is sent."""
