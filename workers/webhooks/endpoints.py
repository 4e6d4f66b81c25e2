"""What deliveries' outcomes mean for their endpoints: verified, doing well, failing, and switched off for good.

An endpoint is switched off when it answers 410, when it has done nothing but fail for days, or when it has answered no
test for as long. It cannot be told itself, so it is said elsewhere: a log line, a metric, its state for its owner and
for operators to see, and an event to the owner's other endpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from waiting_room.domain.delivery import DeliveryState, DisabledReason
from waiting_room.store import webhooks
from waiting_room.store.pool import Connection, Pool
from waiting_room.store.webhooks import GIVE_UP_AT_ONCE, Delivery, Settled
from waiting_room.telemetry import metrics
from waiting_room.webhook_events import TEST
from workers.webhooks.verdict import GONE

log = structlog.get_logger(__name__)

GIVE_UP_EVERY_SECONDS = 30.0
"""Whoever switches an endpoint off leaves what waits for it; this late it has failed."""

for _reason in DisabledReason:
    metrics.WEBHOOK_DISABLED.labels(_reason)  # from nothing to one is no increase, from zero it is


class News(NamedTuple):
    """What a transaction says of endpoints, to be believed once it is committed."""

    well: set[str]
    failing: set[str]
    gone: list[str]
    failed_too_long: list[str]


class Endpoints:
    """Of one sender."""

    def __init__(self, disable_after_seconds: float) -> None:
        self._disable_after_seconds = disable_after_seconds
        self._failing: set[str] = set()
        """Marked by us as failing, so that our next yes takes the mark away."""
        self._give_up_at = 0.0

    async def note(self, conn: Connection, ended: Sequence[tuple[Delivery, Settled]]) -> News:
        """Store what these outcomes mean, inside the caller's transaction."""
        well = [delivery for delivery, settled in ended if settled.state is DeliveryState.DELIVERED]
        yes = {each.endpoint_id for each in well}
        no = {
            delivery.endpoint_id
            for delivery, settled in ended
            if settled.state is not DeliveryState.DELIVERED and settled.spent
        }
        known = self._failing | {each.endpoint_id for each, _ in ended if each.failing}
        news = News(well=known & yes, failing=no - known - yes, gone=[], failed_too_long=[])
        tested = sorted({each.endpoint_id for each in well if each.event == TEST})
        now = datetime.now(UTC)
        if tested:
            await webhooks.verify(conn, tested)
        if news.well:
            await webhooks.do_well(conn, sorted(news.well))
        if news.failing:
            await webhooks.do_fail(conn, sorted(news.failing))
        if gone := sorted({delivery.endpoint_id for delivery, settled in ended if settled.status == GONE}):
            news.gone.extend(await webhooks.switch_off_gone(conn, gone, now))
        if still := sorted((no & known) - yes):
            off = await webhooks.switch_off_failing(conn, still, self._disable_after_seconds, now)
            news.failed_too_long.extend(off)
        return news

    def say(self, news: News) -> None:
        """The transaction is committed."""
        self._failing = (self._failing | news.failing) - news.well - {*news.gone, *news.failed_too_long}
        for reason, names in ((DisabledReason.GONE, news.gone), (DisabledReason.FAILING, news.failed_too_long)):
            for endpoint_id in names:
                metrics.WEBHOOK_DISABLED.labels(reason).inc()
                log.warning("webhook_endpoint_disabled", endpoint_id=endpoint_id, reason=reason)
                self._give_up_at = 0.0

    async def give_up(self, pool: Pool) -> None:
        """Now and then: who answers no test is switched off like who fails for days, and what waits for endpoints that
        are off has failed, and can be replayed.
        """
        now = asyncio.get_running_loop().time()
        if now < self._give_up_at:
            return
        async with pool.acquire() as conn:
            async with conn.transaction():
                silent = await webhooks.switch_off_silent(conn, self._disable_after_seconds, datetime.now(UTC))
            self.say(News(set(), set(), gone=[], failed_too_long=silent))
            given_up = await webhooks.give_up(conn)
        if given_up < GIVE_UP_AT_ONCE:
            self._give_up_at = now + GIVE_UP_EVERY_SECONDS
        if given_up:
            log.info("webhooks_given_up", deliveries=given_up)
