"""What ingress is made of, wired together once a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from ingress import problems
from ingress.access import Keys
from ingress.alternatives import Alternatives
from ingress.calendars import Calendars
from ingress.contested import Contested
from ingress.directory import Directory
from ingress.handover import Handover
from ingress.line import Lines
from ingress.map_keeper import MapKeeper, boot_seconds
from ingress.map_lease import MapLease
from ingress.ops.watch import OpsWatch, urls_of
from ingress.promises import Promises
from ingress.rate_limit import Limits
from ingress.reads import Reads
from ingress.refusal import Refused
from ingress.remembered import Remembered
from ingress.requests import Headers
from ingress.sealing import Sealing
from ingress.shared_days import SharedDays
from ingress.streams import Streams, streams_of
from ingress.tail import Tail
from ingress.writes import Writes
from waiting_room import collector
from waiting_room.domain.booking_ref import RefSecrets
from waiting_room.domain.map_reports import lease_seconds
from waiting_room.envelope import Envelope, envelope_of
from waiting_room.follower import Follower, OnRecord
from waiting_room.hot_tier import HotTier, hot_tier_of
from waiting_room.messages import AccessKey, MapReport, PulseRecord, Reader, Unreadable
from waiting_room.partition_ends import PartitionEnds
from waiting_room.patient_keys import PatientTags, tags_of
from waiting_room.settings import Settings
from waiting_room.supervise import Task
from waiting_room.telemetry import metrics
from waiting_room.telemetry.health import MetricsServer
from waiting_room.telemetry.loop_lag import LoopLag
from waiting_room.topics import ACCESS_KEYS, BOOKING_REQUESTS, CLINIC_DIRECTORY, CLINIC_PULSE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Handlers get this; each uses the few parts it needs."""

    settings: Settings
    refs: RefSecrets
    keys: Keys
    directory: Directory
    lines: Lines
    promises: Promises
    follower: Follower
    ends: PartitionEnds
    """Of what waits for hold; asked for where there is a hot tier."""
    handover: Handover
    map_keeper: MapKeeper
    map_lease: MapLease
    remembered: Remembered
    reads: Reads
    writes: Writes
    alternatives: Alternatives
    calendars: Calendars
    hot_tier: HotTier | None
    contested: Contested
    tail: Tail
    rate_limits: Limits
    streams: Streams
    loop_lag: LoopLag
    ops: OpsWatch
    envelope: Envelope
    """Seals webhook secrets."""
    sealing: Sealing
    tags: PatientTags
    stopping: asyncio.Event
    """Set when the process is told to stop: streams end, waiting requests answer."""

    @property
    def knows_the_map(self) -> bool:
        """Whether a command may be given a partition now: nobody can have taken this process for gone."""
        return self.map_lease.holds(boot_seconds())

    @property
    def tasks(self) -> dict[str, Task]:
        """What must run while requests are answered."""
        return {
            "follower": self.follower.run,
            "collector": self._calm_collector,
            "handover": self.handover.run,
            "map keeper": self.map_keeper.run,
            "sealing": self.sealing.run,
            "tail": self.tail.run,
            "loop lag": self.loop_lag.run,
            **({"hot tier": self.hot_tier.run, "partition ends": self.ends.run} if self.hot_tier else {}),
            **self._metrics_server,
        }

    @property
    def _metrics_server(self) -> dict[str, Task]:
        """Of this process alone: where several share ingress's port, only so is each of them scraped."""
        settings = self.settings
        if not settings.metrics_port:
            return {}
        return {"metrics": MetricsServer(settings.metrics_host, settings.metrics_port).run}

    async def _calm_collector(self, finish: asyncio.Event) -> None:
        """Once every clinic and key is known."""
        knowing = asyncio.create_task(self.follower.caught_up.wait(), name="know the directory")
        finishing = asyncio.create_task(finish.wait(), name="finish collector")
        try:
            await asyncio.wait((knowing, finishing), return_when=asyncio.FIRST_COMPLETED)
            collector.calm()
            await finishing
        finally:
            knowing.cancel()

    def authenticate(self, headers: Headers) -> AccessKey:
        """Whose request this is. Raises Refused: 401, or 503 until keys and clinics are known at all."""
        self.require_knowing()
        return self.keys.authenticate(headers.get(b"authorization"), datetime.now(UTC))

    def require_knowing(self) -> None:
        """Raises Refused (503) until keys and clinics are known at all."""
        if not self.follower.caught_up.is_set():
            raise Refused(
                problems.NOT_READY,
                "This ingress is starting: it does not know keys and clinics yet.",
                headers={"Retry-After": "1"},
                more={"outcome": "none"},
            )


@asynccontextmanager
async def wired(settings: Settings, refs: RefSecrets, stopping: asyncio.Event) -> AsyncIterator[Parts]:
    """Everything wired; nothing is waited for, neither Kafka nor PostgreSQL has to be there."""
    keys, directory, lines = Keys(), Directory(), Lines(settings.hold_deadline_seconds)
    reads, writes = await Reads.open(settings), await Writes.open(settings)
    tables = {CLINIC_DIRECTORY: directory.apply, ACCESS_KEYS: keys.apply, CLINIC_PULSE: _pulses_to(lines)}
    lease = MapLease(
        lease_seconds=lease_seconds(settings.ingress_accept_within_ms / 1000),
        settle_seconds=settings.ingress_answer_within_ms / 1000,
    )
    follower = Follower(settings, tables, begins=lambda: lease.lapse(boot_seconds()))
    ends = PartitionEnds(settings, BOOKING_REQUESTS)
    handover, envelope = Handover(settings), envelope_of(settings)
    hot_tier = hot_tier_of(settings)
    calendars = Calendars(reads, settings.slots_days_max, SharedDays(hot_tier))
    alternatives = Alternatives(reads, directory, lines)
    metrics.UNHELD.set_function(lambda: lines.unheld_most)
    metrics.READY.labels("ingress").set_function(lambda: follower.caught_up.is_set() and not handover.failing)
    try:
        yield Parts(
            settings=settings,
            refs=refs,
            keys=keys,
            directory=directory,
            lines=lines,
            promises=Promises(),
            follower=follower,
            ends=ends,
            handover=handover,
            map_keeper=MapKeeper(settings.worker_id, lease, follower, handover),
            map_lease=lease,
            remembered=Remembered(settings.ingress_remember_keys),
            reads=reads,
            writes=writes,
            alternatives=alternatives,
            calendars=calendars,
            hot_tier=hot_tier,
            contested=Contested(
                hot_tier, ends, lines, reads, calendars, alternatives, settings.contested_within_ms / 1000
            ),
            tail=Tail(settings),
            rate_limits=Limits(settings.rate_app_per_second, settings.rate_patient_per_minute),
            streams=streams_of(settings),
            loop_lag=LoopLag(),
            ops=OpsWatch(urls_of(settings.ops_metrics_urls)),
            envelope=envelope,
            sealing=Sealing(envelope, handover),
            tags=tags_of(settings),
            stopping=stopping,
        )
    finally:
        await reads.close()
        await writes.close()


def _pulses_to(lines: Lines) -> OnRecord:
    read: Reader[PulseRecord] = Reader(PulseRecord)

    def apply(key: str, value: bytes | None) -> None:
        try:
            told = None if value is None else read(value)
        except Unreadable as error:
            log.error("pulse_unreadable", key=key, error=str(error))
            return
        if not isinstance(told, MapReport):
            lines.apply(key, told)

    return apply
