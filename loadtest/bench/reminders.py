"""Twenty thousand reminders due in one minute: are they there in time, each once, none for what was cancelled?

Bookings that were confirmed two days ago start in an hour and something; the reminder an hour ahead of each falls into
one minute. Their committed events go the usual way: relay, Kafka, the notify workers. A third of the patients is
reached by email, by SMS and by push each, through gateways that take 200 ms and fail one time in a hundred. Some cancel
long before, some two seconds before their reminder is due; one of four workers is killed in the middle of the minute.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import msgspec
import psutil

from devstack import roles
from devstack.processes import Process
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.report import Result
from loadtest.simulate.run import percentile
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.domain.booking_ref import RefSecrets
from waiting_room.store.journal import Booking, Journal

BOOKINGS, CLINICS, SENDERS = 20_000, 40, 4
MINUTE = timedelta(minutes=1)
LEAD = timedelta(hours=1)
PREPARE = timedelta(seconds=75)
"""From now until the first is due: to write, publish and plan all of them."""
KILL_AFTER_SECONDS = 20.0
CANCELLED_BEFORE, CANCELLED_SHORTLY = 500, 500
SHORTLY = timedelta(seconds=2)
DELAY_SECONDS, FAILING = 0.2, 0.01
TARGET, WITHIN = 0.9999, timedelta(seconds=60)
CHANNELS = ("email", "sms", "push")
HONOUR_KEYS = ("sms", "push")


@dataclass
class _World:
    """``due_at`` by booking_ref; ``cancelled_at``: when the database had committed it."""

    due_at: dict[str, datetime]
    clinic_of: dict[str, str]
    cancelled_at: dict[str, datetime]


async def measure(seed: int) -> Result:
    """The value is the share of reminders that a gateway had sent within a minute of their time."""
    began = time.monotonic()
    stack = Stack(Shape(clinics=CLINICS, webhooks=False, seed=seed), RUN / "bench-reminders")
    stack.extra_env["WAITING_ROOM_NOTIFY_REMINDERS"] = "1h"
    senders: list[Process] = []
    try:
        await stack.start_servers()
        gateways = stack.gateways_simulator("--delay", str(DELAY_SECONDS), "--failing", str(FAILING))
        relay, _ = roles.worker("relay", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
        senders = [_sender(stack, number) for number in range(1, SENDERS + 1)]
        stack.processes = {process.name: process for process in (gateways, relay, *senders)}
        await asyncio.gather(*(process.start() for process in stack.processes.values()))
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            world, planned = await _prepare(connection, stack, seed)
            spent = await _the_minute(connection, world, senders, stack)
            memory_mb = max(psutil.Process(each.pid).memory_info().rss for each in senders[1:]) / 1e6
            rows = await connection.fetch(_ROWS)
        finally:
            await connection.close()
        sent, tallies = await _gateways_say(stack.gateways_url)
    finally:
        await stack.stop()
    return _result(seed, time.monotonic() - began, world, planned, sent, tallies, rows, spent, memory_mb)


def _sender(stack: Stack, number: int) -> Process:
    env = {**stack.env(), "WAITING_ROOM_WORKER_ID": f"notify-{number}"}
    return roles.worker("notify", env, stack.owner_dsn, stack.secrets, stack.logs, name=f"notify-{number}")[0]


async def _prepare(
    connection: asyncpg.Connection[asyncpg.Record], stack: Stack, seed: int
) -> tuple[_World, dict[str, Any]]:
    """All bookings written, their reminders planned, those that cancel long before cancelled."""
    started = time.monotonic()
    first_due = datetime.now(UTC) + PREPARE
    world = await _write(connection, stack, first_due)
    while await connection.fetchval(_PLANNED) < BOOKINGS:
        if datetime.now(UTC) > first_due + MINUTE:
            raise RuntimeError("the reminders were not planned in time")
        await asyncio.sleep(0.5)
    ready_at = datetime.now(UTC)
    await _cancel(connection, world, random.Random(seed).sample(sorted(world.due_at), CANCELLED_BEFORE))
    return world, {"planned_seconds": time.monotonic() - started, "before_due": (first_due - ready_at).total_seconds()}


async def _write(connection: asyncpg.Connection[asyncpg.Record], stack: Stack, first_due: datetime) -> _World:
    world = _World({}, {}, {})
    refs = RefSecrets(stack.secrets.ref_secret.encode())
    share = BOOKINGS // CLINICS
    for place, clinic in enumerate(stack.world.clinics):
        async with connection.transaction():
            journal = await Journal.open(connection, [clinic["id"]])
            journal.now -= timedelta(days=2)  # their confirmations are no news any more
            for number in range(share):
                order = number * CLINICS + place
                due_at = first_due + MINUTE * order / BOOKINGS
                booking = _booking(journal, refs.derive(clinic["id"], "bench", str(order)), clinic, order, due_at)
                for event in (EventType.ACCEPTED, EventType.HELD, EventType.CONFIRMED):
                    journal.record(booking, event)
                world.due_at[booking.booking_ref] = due_at
                world.clinic_of[booking.booking_ref] = clinic["id"]
            await journal.write()
    return world


def _booking(journal: Journal, ref: str, clinic: dict[str, Any], order: int, due_at: datetime) -> Booking:
    channel = CHANNELS[order % len(CHANNELS)]
    address = f"patient-{order}@patients.example" if channel == "email" else f"+49-{order}"
    patient: dict[str, Any] = {
        "id": f"patient-{order}",
        "contact": {channel: address},
        "locale": ("de", "en")[order % 2],
    }
    return Booking(
        clinic_id=clinic["id"],
        booking_ref=ref,
        app_id="bench",
        accepted_at=journal.now,
        held_at=journal.now,
        ticket=journal.next_ticket(clinic["id"]),
        provider_id=clinic["provider_ids"][0],
        seat=0,
        service_type=clinic["service_types"][0],
        start_at=due_at + LEAD,
        end_at=due_at + LEAD + timedelta(minutes=15),
        patient_id=patient["id"],
        patient=msgspec.json.encode(patient),
        hold_until=due_at,
    )


async def _cancel(connection: asyncpg.Connection[asyncpg.Record], world: _World, refs: list[str]) -> None:
    async with connection.transaction():
        keys = [(world.clinic_of[ref], ref) for ref in refs]
        journal = await Journal.open(connection, [clinic_id for clinic_id, _ in keys])
        for booking in (await journal.load(keys)).values():
            journal.record(booking, EventType.CANCELLED, reason=Reason.PATIENT, by=By.PATIENT)
        await journal.write()
    world.cancelled_at |= dict.fromkeys(refs, datetime.now(UTC))


async def _the_minute(
    connection: asyncpg.Connection[asyncpg.Record], world: _World, senders: list[Process], stack: Stack
) -> dict[str, float]:
    """Until a minute after the last is due, or until nothing is due any more; CPU seconds spent by name."""
    first, last = min(world.due_at.values()), max(world.due_at.values())
    await asyncio.sleep(max((first - datetime.now(UTC)).total_seconds(), 0.0))
    before = cpu.of_stack(stack)
    cancelling = asyncio.create_task(_cancel_shortly_before(connection, world))
    await asyncio.sleep(KILL_AFTER_SECONDS)
    used = cpu.of(senders[0].pid)
    await senders[0].kill()
    await cancelling
    while datetime.now(UTC) < last + WITHIN and (
        datetime.now(UTC) < last or await connection.fetchval(_LEFT, last) > 0
    ):
        await asyncio.sleep(1.0)
    spent = cpu.spent(before, cpu.of_stack(stack))
    return {**spent, senders[0].name: used - before[senders[0].name]}


async def _cancel_shortly_before(connection: asyncpg.Connection[asyncpg.Record], world: _World) -> None:
    """Every so many-th, two seconds before it is due; one transaction for those of a second."""
    left = [ref for ref in sorted(world.due_at, key=lambda ref: world.due_at[ref]) if ref not in world.cancelled_at]
    chosen = left[:: max(len(left) // CANCELLED_SHORTLY, 1)][:CANCELLED_SHORTLY]
    while chosen:
        until = datetime.now(UTC) + SHORTLY + timedelta(seconds=1)
        now = [ref for ref in chosen if world.due_at[ref] <= until]
        chosen = chosen[len(now) :]
        if now:
            await _cancel(connection, world, now)
        await asyncio.sleep(0.5)


async def _gateways_say(url: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/_sim/sent") as answer:
            sent = [msgspec.json.decode(line) for line in (await answer.read()).splitlines()]
        async with session.get("/_sim/stats") as answer:
            return sent, await answer.json()


def _result(
    seed: int,
    duration: float,
    world: _World,
    planned: dict[str, Any],
    sent: list[dict[str, Any]],
    tallies: dict[str, dict[str, int]],
    rows: list[asyncpg.Record],
    spent: dict[str, float],
    memory_mb: float,
) -> Result:
    reminders = [each for each in sent if ":reminder-" in each["key"]]
    first_at: dict[str, datetime] = {}
    for each in reminders:
        first_at.setdefault(each["key"].partition(":")[0], datetime.fromisoformat(each["at"]))
    wanted = [ref for ref in world.due_at if ref not in world.cancelled_at]
    late = sorted((first_at[ref] - world.due_at[ref]).total_seconds() for ref in wanted if ref in first_at)
    in_time = sum(seconds <= WITHIN.total_seconds() for seconds in late)
    early = sum(seconds < 0 for seconds in late)
    # A cancel whose commit was answered after the reminder was due may be read by either.
    cancelled = [ref for ref, at in world.cancelled_at.items() if at < world.due_at[ref]]
    for_cancelled = sum(ref in first_at for ref in cancelled)
    doubled = Counter(each["channel"] for each in reminders)
    for channel in CHANNELS:
        doubled[channel] -= len({each["key"] for each in reminders if each["channel"] == channel})
    honoured = sum(doubled[channel] for channel in HONOUR_KEYS)
    states = Counter(f"{row['state']} after {row['attempts']}" for row in rows)
    share = in_time / len(wanted)
    sender_seconds = sum(seconds for name, seconds in spent.items() if name.startswith("notify"))
    return Result(
        name="reminders",
        promise=f"{BOOKINGS:,} reminders due in one minute, one of {SENDERS} senders killed: sent within 60 s of due",
        target=f">= {TARGET}; none doubled where keys are honoured; none for a cancelled booking",
        value=share,
        unit="of the reminders",
        passed=share >= TARGET and honoured == 0 and for_cancelled == 0 and early == 0,
        seed=seed,
        duration_seconds=duration,
        rows={
            "wanted; sent; in time": f"{len(wanted):,}; {len(late):,}; {in_time:,}",
            "late, s: p50; p99; p99.9; longest": "; ".join(
                f"{value:.2f}" for value in (*(percentile(late, part) for part in (0.5, 0.99, 0.999)), late[-1])
            ),
            "sent before due": early,
            "cancelled before due; of those reminded": f"{len(cancelled):,}; {for_cancelled}",
            "doubled: SMS and push, which honour keys": honoured,
            "doubled: email, where SMTP knows no keys": doubled["email"],
            "asked again under the same key, and honoured": sum(tallies[each]["repeats"] for each in HONOUR_KEYS),
            "failed at gateways, and tried again": sum(tallies[each]["failed"] for each in CHANNELS),
            "in the database": ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())),
            "written, published and planned, s (before the first is due)": (
                f"{planned['planned_seconds']:.1f} ({planned['before_due']:.1f})"
            ),
            "CPU ms a message: all senders": sender_seconds * 1_000 / max(len(reminders), 1),
            "memory of a sender, MB": memory_mb,
            "CPU s of the minute": ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items()),
        },
        notes=[
            "everything, Kafka, PostgreSQL and the gateways included, on this machine",
            f"gateways take {DELAY_SECONDS:g} s and fail {FAILING:.0%}; lateness is by the gateways' own record",
        ],
    )


_PLANNED = "SELECT count(*) FROM notifications WHERE starts_with(kind, 'reminder-')"
_LEFT = "SELECT count(*) FROM notifications WHERE state = 'due' AND due_at <= $1"
_ROWS = "SELECT state, attempts FROM notifications WHERE starts_with(kind, 'reminder-')"
