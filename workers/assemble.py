"""Builds every role from Settings: the one file that knows all concrete classes.

Each role's code is imported when the role is built, so that a process carries only what it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import structlog

from waiting_room.kafka import Producer
from waiting_room.settings import Settings
from waiting_room.store.pool import Pool, create_pool
from waiting_room.supervise import Task, pause, supervise
from waiting_room.telemetry.health import say_ready
from workers.startup import AGAIN_SECONDS, is_absence, until_ready

log = structlog.get_logger(__name__)


class Role(StrEnum):
    """What a worker process can be, one or several at once."""

    HOLD = "hold"
    CONFIRM = "confirm"
    RELAY = "relay"
    WEBHOOKS = "webhooks"
    NOTIFY = "notify"
    SWEEP = "sweep"


def task_of(role: Role, settings: Settings) -> Task:
    """The role as a task: it waits for Kafka and PostgreSQL, then works until told to finish.

    Should either go away in a way the role itself cannot wait out (while it connects, say), it is started anew.
    """

    async def task(finish: asyncio.Event) -> None:
        while await until_ready(settings, finish):
            try:
                await _RUN[role](settings, finish)
                return
            except Exception as error:
                if not is_absence(error):
                    raise
                say_ready(role, ready=False)
                log.warning("starting_again", what=role, error=repr(error.__cause__ or error))
                await pause(finish, AGAIN_SECONDS)

    return task


@asynccontextmanager
async def _database(settings: Settings, role: Role, *, may_forget: bool = False) -> AsyncIterator[Pool]:
    pool = await create_pool(settings, role, may_forget=may_forget)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[Producer]:
    producer = Producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _hold(settings: Settings, finish: asyncio.Event) -> None:
    from workers.hold import worker

    await worker.run(settings, finish)


async def _confirm(settings: Settings, finish: asyncio.Event) -> None:
    from workers.confirm import worker

    await worker.run(settings, finish)


async def _relay(settings: Settings, finish: asyncio.Event) -> None:
    from workers.relay.directory import DirectoryPublisher
    from workers.relay.events import EventPublisher
    from workers.relay.leader import Leader

    # Cursors and deleted rows that a crash of the server takes back are only published once more.
    async with _database(settings, Role.RELAY, may_forget=True) as pool, _producer(settings) as producer:
        leader = Leader(settings)
        events, directory = EventPublisher(pool, producer), DirectoryPublisher(pool, producer, leader)
        await leader.run({"relay events": events.run, "relay directory": directory.run}, finish)


async def _webhooks(settings: Settings, finish: asyncio.Event) -> None:
    from waiting_room.domain.addresses import networks_of
    from waiting_room.envelope import envelope_of
    from waiting_room.patient_keys import Vault
    from waiting_room.webhook_signing import Signers
    from workers.event_intake import EventIntake
    from workers.webhooks.intake import Deliveries
    from workers.webhooks.post import Poster
    from workers.webhooks.sender import Sender

    envelope = envelope_of(settings)
    allowed = networks_of(settings.webhook_allow_networks)
    async with (
        _database(settings, Role.WEBHOOKS) as pool,
        _producer(settings) as producer,
        Poster(settings.webhook_timeout_seconds, allowed) as poster,
    ):
        sender = Sender(settings, pool, poster, Signers(envelope), Vault(envelope))
        intake = EventIntake(settings, producer, Deliveries(pool), on_new=sender.look)
        await supervise(
            finish,
            {"webhook intake": intake.run, "webhook sender": sender.run},
            shutdown_seconds=settings.shutdown_seconds,
        )


async def _notify(settings: Settings, finish: asyncio.Event) -> None:
    from waiting_room.envelope import envelope_of
    from waiting_room.patient_keys import Vault
    from workers.event_intake import EventIntake
    from workers.notify.compose import Composer
    from workers.notify.gateways import gateways
    from workers.notify.intake import Messages
    from workers.notify.sender import Sender

    vault = Vault(envelope_of(settings))
    async with (
        _database(settings, Role.NOTIFY) as pool,
        _producer(settings) as producer,
        gateways(settings) as by_channel,
    ):
        sender = Sender(settings, pool, vault, Composer(settings, pool), by_channel)
        intake = EventIntake(settings, producer, Messages(settings, pool, vault), on_new=sender.look)
        await supervise(
            finish,
            {"notify intake": intake.run, "notify sender": sender.run},
            shutdown_seconds=settings.shutdown_seconds,
        )


async def _sweep(settings: Settings, finish: asyncio.Event) -> None:
    from waiting_room.domain.addresses import networks_of
    from waiting_room.envelope import envelope_of
    from workers.busy_feeds.fetch import Fetcher
    from workers.busy_feeds.reader import BusyFeeds
    from workers.sweep.lines import LineWatch
    from workers.sweep.months import MonthWatch
    from workers.sweep.sweep import Sweep

    envelope = envelope_of(settings)
    allowed = networks_of(settings.webhook_allow_networks)
    async with (
        _database(settings, Role.SWEEP) as pool,
        _producer(settings) as producer,
        Fetcher(settings.busy_feed_timeout_seconds, settings.busy_feed_max_bytes, allowed) as fetcher,
    ):
        await supervise(
            finish,
            {
                "sweep rounds": Sweep(settings, pool, producer).run,
                "sweep lines": LineWatch(pool).run,
                "sweep months": MonthWatch(settings, pool).run,
                "sweep busy feeds": BusyFeeds(settings, pool, fetcher, envelope).run,
            },
            shutdown_seconds=settings.shutdown_seconds,
        )


_RUN: Final[Mapping[Role, Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]]] = MappingProxyType(
    {
        Role.HOLD: _hold,
        Role.CONFIRM: _confirm,
        Role.RELAY: _relay,
        Role.WEBHOOKS: _webhooks,
        Role.NOTIFY: _notify,
        Role.SWEEP: _sweep,
    }
)
