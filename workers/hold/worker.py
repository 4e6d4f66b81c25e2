"""The hold role: reads booking.requests, holds in batches, rings confirm's doorbell, then commits.

The order is what makes a crash harmless: PostgreSQL first, the doorbell second, Kafka's offsets last. Whatever was
not reached is read again, and found done.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from waiting_room.dead_letters import put_aside
from waiting_room.envelope import envelope_of
from waiting_room.hot_tier import HotTier, hot_tier_of
from waiting_room.kafka import Headers, Producer, group_consumer, stop_in_time
from waiting_room.messages import (
    Cancel,
    ClinicPulse,
    Closure,
    Confirmation,
    Reschedule,
    Shortage,
    Unreadable,
    encode,
)
from waiting_room.patient_keys import Vault, tags_of
from waiting_room.settings import Settings
from waiting_room.store import holds
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Pool, create_pool
from waiting_room.supervise import Task, supervise
from waiting_room.taken_marks import mark
from waiting_room.telemetry import decided, metrics, tracing
from waiting_room.telemetry.lag import ConsumerLag
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY
from workers.hold.batch import Batch, Deadlines
from workers.hold.free_starts import FreeStarts
from workers.hold.opening import Opening
from workers.hold.outcome import Outcome
from workers.hold.patients import Known
from workers.hold.poll import Poll
from workers.hold.read import Appended, Item, item_of
from workers.hold.rebalance import StartFromTheLower
from workers.pacing.offsets import Offsets
from workers.pulse import PulseWriter
from workers.work_off import Refused, work_off

log = structlog.get_logger(__name__)
GROUP = "hold"
FORWARDED_FOR = timedelta(hours=1)
"""Time enough to be appended to another clinic's partition; a cancel may be repeated."""


async def run(settings: Settings, finish: asyncio.Event) -> None:
    """Hold until told to finish; then store what was read, ring, commit and leave the group."""
    envelope = envelope_of(settings)
    whom = Known(tags_of(settings), Vault(envelope), settings.patient_pending_max)
    async with _resources(settings) as (pool, producer):
        pulse, opening = PulseWriter(settings.worker_id, producer), Opening(settings, envelope)
        hot_tier = hot_tier_of(settings)
        worker = HoldWorker(settings, pool, producer, pulse, opening, whom, hot_tier)
        tasks: dict[str, Task] = {
            "hold loop": worker.loop,
            "pulse": pulse.run,
            "free starts": worker.free_starts.run,
            "intake keys": opening.run,
            **({"hot tier": hot_tier.run} if hot_tier else {}),
        }
        await supervise(finish, tasks, shutdown_seconds=settings.shutdown_seconds)


@asynccontextmanager
async def _resources(settings: Settings) -> AsyncIterator[tuple[Pool, Producer]]:
    pool = await create_pool(settings, "hold")
    producer = Producer(settings)
    await producer.start()
    try:
        yield pool, producer
    finally:
        try:
            await producer.stop()
        finally:
            await pool.close()


class HoldWorker:
    """One consumer. More throughput is more processes."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        producer: Producer,
        pulse: PulseWriter,
        opening: Opening,
        whom: Known,
        hot_tier: HotTier | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._producer = producer
        self._pulse = pulse
        self._opening = opening
        self._whom = whom
        self._hot_tier = hot_tier
        self._rules: dict[str, holds.Rules] = {}
        self._offsets = Offsets()
        self.free_starts = FreeStarts(pool, self._rules, settings.book_ahead_max_days)
        self._deadlines = Deadlines(
            timedelta(seconds=settings.hold_deadline_seconds),
            timedelta(seconds=settings.hold_deadline_in_outage_seconds),
        )

    async def loop(self, finish: asyncio.Event) -> None:
        """Poll, hold, ring, commit. Raises what no retry can mend."""
        consumer = group_consumer(
            self._settings,
            GROUP,
            # A long absence of PostgreSQL is waited out here; heartbeats go on beside it.
            max_poll_interval_ms=3_600_000,
            max_partition_fetch_bytes=1 << 18,
        )
        poll = Poll(consumer, self.take, self._offsets, self._settings.hold_batch_max, ConsumerLag(GROUP))
        listener = StartFromTheLower(consumer, self._pool, self._offsets, self._pulse)
        await consumer.start()
        try:
            consumer.subscribe([BOOKING_REQUESTS], listener=listener)
            await poll.run(finish)
            await self._pulse.write_changes()  # of the last batch, if the pulse has said its last word by now
        finally:
            await stop_in_time(consumer)

    async def take(self, records: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        """Store and ring for these records; those that have to wait. The others may be committed when it returns."""
        started = asyncio.get_running_loop().time()
        items: list[Item] = []
        for record in records:
            try:
                item = item_of(record)
            except Unreadable as error:
                await put_aside(self._producer, record, str(error))
                self._finish(record)
                continue
            if item is None:
                metrics.HELD.labels("discarded").inc()
                self._finish(record)
            else:
                items.append(item)
        items, unopened = await self._opening.open(items)
        waiting = await self._hold(items) if items else []
        wait = {(record.partition, record.offset) for record in waiting}
        for item, why in unopened:  # held all the same: its booking is rejected
            if (item.partition, item.offset) not in wait:  # or it is taken again in a moment
                await put_aside(self._producer, item.record, why)
        done = [item for item in items if (item.partition, item.offset) not in wait]
        for item in done:
            self._finish(item.record)
        for partition in {record.partition for record in records}:
            if (next_offset := self._next_offset(partition)) is not None:
                self._pulse.saw_held(partition, next_offset)
        self._measure([item for item in done if isinstance(item, Appended)], started)
        return waiting

    def _finish(self, record: ConsumerRecord) -> None:
        """Nothing is left to do for it."""
        self._offsets.finished((record.topic, record.partition), record.offset)

    def _next_offset(self, partition: int, storing: Collection[int] = ()) -> int | None:
        """Before it all of this partition is stored, once ``storing`` is; None where we do not read it."""
        return self._offsets.next_once((BOOKING_REQUESTS, partition), storing)

    async def _hold(self, items: Sequence[Item]) -> list[ConsumerRecord]:
        """The records of those that have to wait."""
        behind: set[tuple[int, str]] = set()
        outcomes, refused = await work_off(partial(self._transact, behind=behind), items, _clinic_of)
        for refusal in refused:
            await self._refuse(refusal)
        for outcome in outcomes:
            if self._hot_tier is not None:
                mark(self._hot_tier, outcome.full)
            await self._ring(outcome, _traced(outcome, items))
            self._report(outcome)
        return [item.record for outcome in outcomes for item in outcome.waiting]

    async def _transact(
        self, items: Sequence[Item], *, unprocessable: bool = False, behind: set[tuple[int, str]] | None = None
    ) -> Outcome:
        """``behind``: of which clinics earlier parts of the same items wait, by partition; added to."""
        behind = set() if behind is None else behind
        async with self._pool.acquire() as conn, conn.transaction():
            batch = Batch(conn, self._rules, self._deadlines, self._whom, self._next_offset)
            outcome = await batch.work(items, unprocessable=unprocessable, behind=behind)
        behind.update((item.partition, item.clinic_id) for item in outcome.waiting)
        return outcome

    async def _refuse(self, refusal: Refused[Item]) -> None:
        """A record that fails whatever is tried: kept for a person to look at, its booking rejected."""
        item = refusal.item
        await put_aside(self._producer, item.record, refusal.reason)
        if not isinstance(item, Appended):
            return
        reject = partial(self._transact, unprocessable=True)
        outcomes, hopeless = await work_off(reject, [item], _clinic_of)
        for outcome in outcomes:
            self._report(outcome)
        log.error(
            "command_put_aside",
            booking_ref=item.command.booking_ref,
            reason=refusal.reason,
            booking_rejected=not hopeless,
        )

    async def _ring(self, outcome: Outcome, contexts: Mapping[str, Headers]) -> None:
        """Tell confirm; ``contexts`` by booking_ref, for its traces.

        Rung for every held row found, new or not: a doorbell rung twice is heard once.
        """
        records: list[tuple[str, int, str, bytes, Headers]] = []
        for topic, bookings in (
            (CLINIC_CONFIRMATIONS_PRIORITY, outcome.to_withdraw),
            (CLINIC_CONFIRMATIONS, outcome.due),
        ):
            for booking in bookings:
                partition = self._rules[booking.clinic_id].partition
                context = contexts.get(booking.booking_ref, ())
                records.append((topic, partition, booking.clinic_id, encode(_doorbell(booking)), context))
        if outcome.forwarded:
            records += await self._forwarded(outcome.forwarded)
        while records:
            try:
                await self._producer.send_all(records)
                return
            except KafkaError as error:
                log.warning("ringing_again", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _forwarded(
        self, cancels: Sequence[Cancel | Reschedule | Closure | Shortage]
    ) -> list[tuple[str, int, str, bytes, Headers]]:
        """Cancels for where their bookings are; already accepted, so no longer bound to their time."""
        async with self._pool.acquire() as conn:
            rules = await holds.load_rules(conn, {cancel.clinic_id for cancel in cancels})
        accept_by = datetime.now(UTC) + FORWARDED_FOR
        return [
            (
                BOOKING_REQUESTS,
                rules[cancel.clinic_id].partition,
                cancel.clinic_id,
                encode(msgspec.structs.replace(cancel, accept_by=accept_by)),
                (),
            )
            for cancel in cancels
        ]

    def _report(self, outcome: Outcome) -> None:
        seated = (*outcome.due, *(each for each in outcome.decided if each.known_state.keeps_seat))
        held = Counter(booking.clinic_id for booking in seated)
        for clinic_id, (seq, line) in outcome.lines.items():
            bookable = self.free_starts.held(clinic_id, held[clinic_id])
            self._pulse.saw_clinic(clinic_id, ClinicPulse(seq=seq, line=line, bookable=bookable))
        self._pulse.forget_clinics(set(outcome.arrived))  # whoever reads the new partition speaks of them from now on
        for clinic_id in outcome.arrived:
            log.info("clinic_moved", clinic_id=clinic_id)
        metrics.HELD.labels("held").inc(len(outcome.due))
        for booking in outcome.decided:
            metrics.HELD.labels(booking.known_state.status).inc()
        for booking in outcome.just_decided:
            decided.observe(booking)

    def _measure(self, items: Sequence[Appended], started: float) -> None:
        now = datetime.now(UTC)
        for item in items:
            waited = max((now - item.appended_at).total_seconds(), 0.0)
            metrics.HOLD_WAIT.observe(waited, tracing.exemplar(item.command.booking_ref))
        metrics.HOLD_BATCH_SECONDS.observe(asyncio.get_running_loop().time() - started)


def _traced(outcome: Outcome, items: Sequence[Item]) -> dict[str, Headers]:
    """One span a command, from when it was appended; by booking_ref, the context for what it leads to."""
    if not tracing.on():
        return {}
    commands = {item.command.booking_ref: item for item in items if isinstance(item, Appended)}
    contexts: dict[str, Headers] = {}
    for booking in (*outcome.due, *outcome.to_withdraw, *outcome.decided):
        if (item := commands.get(booking.booking_ref)) is not None:
            ref = booking.booking_ref
            with tracing.span("hold", ref, item.record.headers, began_at=item.appended_at) as span:
                contexts[ref] = tracing.context_of(span)
                tracing.say(span, status=booking.known_state.status, stage=booking.known_state.stage)
    return contexts


def _clinic_of(item: Item) -> str:
    return item.clinic_id


def _doorbell(booking: Booking) -> Confirmation:
    return Confirmation(
        booking_ref=booking.booking_ref,
        clinic_id=booking.clinic_id,
        revision=booking.known_state.revision,
        ticket=booking.ticket or 0,
        held_at=booking.held_at or booking.accepted_at,
    )
