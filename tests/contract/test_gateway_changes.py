"""What a clinic says has happened there beside us: Gateway.changes, held against simulated clinics on sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from clinic_adapter.builtin import Builtin, NoClinicSystem
from clinic_adapter.errors import ClinicUnavailable
from clinic_adapter.factory import gateway_to
from clinic_adapter.gateway import Gateway
from clinic_adapter.transport import open_transport
from loadtest import httpserver
from loadtest.clinics.phone import PAGE, BusyTime, PhoneCall
from tests.contract.test_gateway_rest import CALL, REF, world, yes
from waiting_room.domain.appointment import By, Reason
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.clinic_changes import Changes
from waiting_room.domain.directory import AdapterKind

AT = datetime(2026, 11, 24, 9, tzinfo=UTC)


def busy(name: str, seats: int | None = None) -> PhoneCall:
    time = BusyTime(busy_id=name, provider_id="000A-1", from_at=AT, to_at=AT + timedelta(minutes=30), seats=seats)
    return PhoneCall(busy=time)


async def read(gateway: Gateway, after: str | None = None) -> Changes:
    found = await gateway.changes(after)
    assert found is not None
    return found


async def test_all_there_is_and_then_what_has_changed() -> None:
    async with world() as w:
        w.clinic.answer_phone(busy("tel-1", seats=1), AT)
        whole = await read(w.gateway)
        (one,) = whole.busy
        assert (one.busy_id, one.provider_id, one.from_at, one.seats) == ("tel-1", "000A-1", AT, 1)
        assert await read(w.gateway, whole.cursor) == Changes(cursor=whole.cursor)
        w.clinic.answer_phone(busy("tel-2"), AT)
        w.clinic.answer_phone(PhoneCall(gone="tel-1"), AT)
        later = await read(w.gateway, whole.cursor)
        assert ([each.busy_id for each in later.busy], later.gone) == (["tel-2"], ("tel-1",))
        assert later.busy[0].seats is None, "the provider as a whole"


async def test_a_booking_of_ours_that_was_cancelled_there_says_by_whom() -> None:
    async with world() as w:
        await w.gateway.confirm(CALL, yes)
        await w.gateway.confirm(replace(CALL, revision=2), yes)
        assert w.clinic.answer_phone(PhoneCall(cancel=REF, by="patient"), AT)
        assert not w.clinic.answer_phone(PhoneCall(cancel=REF), AT), "only once"
        (off,) = (await read(w.gateway)).cancelled
        assert (off.booking_ref, off.revision, off.who, off.reason) == (REF, 2, By.PATIENT, Reason.PATIENT)


async def test_what_does_not_fit_into_one_answer_comes_in_parts() -> None:
    async with world() as w:
        for number in range(PAGE + 1):
            w.clinic.answer_phone(busy(f"tel-{number}"), AT)
        first = await read(w.gateway)
        second = await read(w.gateway, first.cursor)
        assert (len(first.busy), first.more, len(second.busy), second.more) == (PAGE, True, 1, False)


async def test_a_cursor_that_is_not_known_any_more_is_told_from_an_outage() -> None:
    async with world() as w:
        cursor = (await read(w.gateway)).cursor
        w.clinic.answer_phone(PhoneCall(forget=True), AT)
        assert await w.gateway.changes(cursor) is None
        w.change(down="503")
        with pytest.raises(ClinicUnavailable):
            await w.gateway.changes(cursor)


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[Gateway]:
    def handle(exchange: httpserver.Exchange) -> None:
        exchange.answer(status, body)

    async with httpserver.listening(handle, 0) as port, open_transport(calls_max=2, call_seconds=2.0) as http:
        system = ClinicSystem("000A", AdapterKind.REST, f"http://127.0.0.1:{port}", 4, 1.0, True, True)
        yield gateway_to(system, http)


_ENDS_FIRST = b'{"busy_id": "1", "provider_id": "p", "from": "2026-11-24T09:00:00Z", "to": "2026-11-24T09:00:00Z"}'


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b'{"busy": []}'),
        (200, b'{"cursor": "1", "busy": [' + _ENDS_FIRST + b"]}"),
        (200, b'{"cursor": "1", "busy": [' + _ENDS_FIRST.replace(b"Z", b"") + b"]}"),
        (404, b""),
        (410, b""),
        (500, b""),
    ],
)
async def test_what_is_no_answer_is_none(status: int, body: bytes) -> None:
    """410 too, where nothing was asked to be remembered."""
    async with answering(status, body) as gateway:
        with pytest.raises(ClinicUnavailable):
            await gateway.changes(None)


async def test_where_the_platform_keeps_the_calendar_there_is_nothing_to_ask() -> None:
    with pytest.raises(NoClinicSystem):
        await Builtin().changes(None)
