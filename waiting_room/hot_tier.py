"""The optional hot tier: a Valkey (or Redis) that several processes share. Without it all is as right, and slower.

Nothing is kept there that PostgreSQL does not have, and nothing that is read there decides anything. Asking it costs
``valkey_within_ms`` at the most, and nothing while it is away: after a few faults in a row nobody asks any more, until
a probe beside the requests was answered. It raises nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from valkey.asyncio import Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff

from waiting_room.domain.breaker import Breaker
from waiting_room.in_time import in_time
from waiting_room.settings import Settings
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics
from waiting_room.together import Together

log = structlog.get_logger(__name__)
FAULTS_MAX: Final = 3
PROBE_EVERY_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 1.0
"""For probes, which connect as well, and for writes: nobody waits for either."""
_WRITES_MAX: Final = 2_000
_WRITE_AT_ONCE: Final = 200
_VALUE_MAX_BYTES: Final = 262_144
_FAULTS: Final = Exception
"""Whatever goes wrong there, in its client too, is a fault of the tier, and nobody else is to suffer from it."""


class HotTier:
    """``run`` looks after the connection and writes; everything else returns at once, or soon."""

    def __init__(self, url: str, within_seconds: float) -> None:
        # Two, so that a long write is not in the way of a read.
        self._reads, self._writes = _client(url), _client(url)
        self._within_seconds = within_seconds
        self._breaker = Breaker(FAULTS_MAX)
        self._get = Together("hot tier", self._get_all)
        self._to_write: dict[str, tuple[bytes | None, float]] = {}
        self._something_to_write = asyncio.Event()
        metrics.HOT_TIER_AWAY.set_function(lambda: self.away)

    @property
    def away(self) -> bool:
        """Whether nobody asks it at present."""
        return self._breaker.open

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The values of these keys; None for what is not there, and for all where the tier does not answer in time."""
        if not keys:
            return []
        if self._breaker.open:
            metrics.HOT_TIER_KEYS.labels("unasked").inc(len(keys))
            return [None] * len(keys)
        return await self._get.ask(keys)

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Have it kept for so long. Not while the tier is away, nor when there is too much to write already."""
        if len(value) <= _VALUE_MAX_BYTES:
            self._write_soon(key, value, seconds)

    def drop(self, key: str) -> None:
        """Have it forgotten."""
        self._write_soon(key, None, 0.0)

    def _write_soon(self, key: str, value: bytes | None, seconds: float) -> None:
        if self._breaker.open or len(self._to_write) >= _WRITES_MAX:
            metrics.HOT_TIER_WRITES.labels("left_out").inc()
            return
        self._to_write[key] = value, seconds
        self._something_to_write.set()

    async def run(self, finish: asyncio.Event) -> None:
        """Write, and probe while it is away, until told to finish."""
        writing = asyncio.create_task(self._write_on(), name="write to the hot tier")
        try:
            while not finish.is_set():
                if writing.done():
                    writing.result()
                if self._breaker.open:
                    await self._probe()
                await pause(finish, PROBE_EVERY_SECONDS)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await asyncio.gather(self._reads.aclose(), self._writes.aclose(), return_exceptions=True)

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await asyncio.gather(self._reads.ping(), self._writes.ping())
        except _FAULTS:
            return
        self._breaker.probed()
        log.info("hot_tier_answers")

    async def _get_all(self, asked: Sequence[Sequence[str]]) -> list[Sequence[bytes | None]]:
        keys = [key for each in asked for key in each]
        try:
            found = _values(await in_time(self._within_seconds, self._reads.mget(keys)), len(keys))
        except _FAULTS as error:
            metrics.HOT_TIER_KEYS.labels("fault").inc(len(keys))
            self._failed(error)
            return [[None] * len(each) for each in asked]
        self._breaker.worked()
        missed = found.count(None)
        metrics.HOT_TIER_KEYS.labels("miss").inc(missed)
        metrics.HOT_TIER_KEYS.labels("hit").inc(len(keys) - missed)
        values = iter(found)
        return [[next(values) for _ in each] for each in asked]

    async def _write_on(self) -> None:
        while True:
            await self._something_to_write.wait()
            now = dict(list(self._to_write.items())[:_WRITE_AT_ONCE])
            for key in now:
                del self._to_write[key]
            if not self._to_write:
                self._something_to_write.clear()
            await self._write(now)

    async def _write(self, values: dict[str, tuple[bytes | None, float]]) -> None:
        pipeline = self._writes.pipeline(transaction=False)
        for key, (value, seconds) in values.items():
            if value is None:
                pipeline.unlink(key)
            else:
                pipeline.set(key, value, px=max(1, round(seconds * 1_000)))
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await pipeline.execute()
        except _FAULTS as error:
            metrics.HOT_TIER_WRITES.labels("fault").inc(len(values))
            self._failed(error)
        else:
            metrics.HOT_TIER_WRITES.labels("written").inc(len(values))

    def _failed(self, error: BaseException) -> None:
        if self._breaker.failed():
            log.warning("hot_tier_away", error=type(error).__name__)


def _values(answer: Any, count: int) -> list[bytes | None]:
    """Raises ValueError where it answers what nobody has asked: who is behind that address may be somebody else."""
    if isinstance(answer, list) and len(answer) == count and all(isinstance(each, bytes | None) for each in answer):
        return answer
    raise ValueError("no answer to what was asked")


def hot_tier_of(settings: Settings) -> HotTier | None:
    """The one that is set; connects when it runs."""
    if settings.valkey_url is None:
        return None
    return HotTier(settings.valkey_url.get_secret_value(), settings.valkey_within_ms / 1000)


def _client(url: str) -> Any:
    """Its own time limits are for what slips through ours; it repeats nothing."""
    return Valkey.from_url(
        url,
        socket_timeout=_PATIENCE_SECONDS,
        socket_connect_timeout=_PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
        client_name="waiting-room",
    )
