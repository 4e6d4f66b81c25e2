"""Places of live streams: who gets one, and that it is given back however a stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ingress import problems
from ingress.problems import ProblemType
from ingress.refusal import Refused
from ingress.resource import Resource
from ingress.streams import OF_A_PASS, EventStream, Streams, streams_of
from waiting_room.access import OwnerKind
from waiting_room.messages import AccessKey
from waiting_room.settings import Settings
from waiting_room.telemetry import metrics


def key(owner_id: str, kind: OwnerKind = OwnerKind.APP) -> AccessKey:
    return AccessKey(
        key_id=f"key of {owner_id}", owner_kind=kind, owner_id=owner_id, secret_hash=b"", scopes=(), expires_at=None
    )


def refused(streams: Streams, caller: AccessKey | None) -> ProblemType | None:
    try:
        with streams.place(caller):
            return None
    except Refused as refusal:
        return refusal.kind if int(refusal.headers["Retry-After"]) > 0 else None


def counted(kind: ProblemType) -> float:
    return metrics.REFUSED.labels(kind.name)._value.get()  # type: ignore[no-any-return]


def test_a_caller_has_so_many_and_others_have_theirs() -> None:
    streams, before = Streams(10, 2), counted(problems.TOO_MANY_STREAMS)
    with streams.place(key("petcare")), ExitStack() as later:
        later.enter_context(streams.place(key("petcare")))
        assert refused(streams, key("petcare")) is problems.TOO_MANY_STREAMS
        assert refused(streams, key("petcare", OwnerKind.CLINIC)) is None, "another of the same name"
        assert refused(streams, key("other")) is None
        assert refused(streams, None) is None, "whoever is at this machine"
        later.close()
        assert refused(streams, key("petcare")) is None
    assert counted(problems.TOO_MANY_STREAMS) == before + 1


def test_a_pass_has_a_few() -> None:
    streams = Streams(100, 50)
    mine = key("0001-AAAA-BBBB-CCCC-DDDD", OwnerKind.PASS)
    with ExitStack() as opened:
        for _ in range(OF_A_PASS):
            opened.enter_context(streams.place(mine))
        assert refused(streams, mine) is problems.TOO_MANY_STREAMS
        assert refused(streams, key("0001-AAAA-BBBB-CCCC-EEEE", OwnerKind.PASS)) is None


def test_a_process_has_so_many_whoever_asks() -> None:
    streams, before = Streams(2, 2), counted(problems.STREAMS_FULL)
    with ExitStack() as opened:
        opened.enter_context(streams.place(key("one")))
        opened.enter_context(streams.place(None))
        assert refused(streams, key("two")) is problems.STREAMS_FULL
    assert refused(streams, key("two")) is None
    assert counted(problems.STREAMS_FULL) == before + 1


def test_streams_leave_files_for_bookings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (4, 4))
    streams = streams_of(Settings(ingress_streams_max=3))
    with streams.place(key("one")), streams.place(key("two")):
        assert refused(streams, key("three")) is problems.STREAMS_FULL


class Watched:
    """A stream, its place and the connection it goes out by, each of which a test may end."""

    def __init__(self, *events: bytes) -> None:
        self.streams = Streams(1, 1)
        self.begun, self.gone, self.full = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.closed = False
        self.sent: list[Message] = []
        self._events = events

    async def events(self) -> AsyncGenerator[bytes, None]:
        try:
            for event in self._events:
                yield event
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.begun.set()
            if self.full.is_set():
                await asyncio.Event().wait()  # nobody reads: what is sent stays here

    def answer(self, place: AbstractContextManager[object]) -> EventStream:
        return EventStream(self.events(), place)

    def run(self, version: str = "2.3") -> asyncio.Task[None]:
        """As ingress runs it, from the moment that it has its place."""
        opened = ExitStack()
        opened.enter_context(self.streams.place(None))
        answer = self.answer(opened)
        scope = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": version}}
        return asyncio.create_task(Resource("/x", {"GET": answer})(scope, self.receive, self.send))

    def has_its_place(self) -> bool:
        return refused(self.streams, key("another")) is problems.STREAMS_FULL


async def leave(watched: Watched, task: asyncio.Task[None]) -> None:
    watched.gone.set()
    await task


async def cut(watched: Watched, task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("end", [leave, cut])
@pytest.mark.parametrize("reads", [True, False], ids=["reading", "reading nothing"])
async def test_who_vanishes_gives_their_place_back(
    end: Callable[[Watched, asyncio.Task[None]], Awaitable[None]], reads: bool
) -> None:
    watched = Watched(b"one", b"two")
    if not reads:
        watched.full.set()
    task = watched.run()
    await watched.begun.wait()
    assert watched.has_its_place()
    await end(watched, task)
    assert not watched.has_its_place()
    assert watched.closed


@pytest.mark.parametrize("end", [leave, cut])
async def test_so_does_who_was_gone_before_the_first_word(
    end: Callable[[Watched, asyncio.Task[None]], Awaitable[None]],
) -> None:
    watched = Watched(b"one")
    task = watched.run()
    await asyncio.sleep(0)
    await end(watched, task)
    assert not watched.has_its_place()


async def test_so_does_a_server_that_says_it_by_an_error() -> None:
    watched = Watched(b"one")

    async def send(message: Message) -> None:
        raise OSError("broken pipe")

    opened = ExitStack()
    opened.enter_context(watched.streams.place(None))
    with pytest.raises(ClientDisconnect):
        await watched.answer(opened)({"type": "http", "asgi": {"spec_version": "2.4"}}, watched.receive, send)
    assert not watched.has_its_place()
    assert watched.closed is False, "it had not begun"
