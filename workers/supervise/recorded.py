"""The number of workers as Prometheus records it: the one that a cluster's autoscaler asks for too."""

from __future__ import annotations

from typing import Final

import aiohttp
import structlog

log = structlog.get_logger(__name__)
RULE: Final = "waiting_room:confirm_workers_desired"
"""dashboards/rules/recording.yaml"""


class Recorded:
    """``url``: where Prometheus is. Whether it has the number is said once, and again when that changes."""

    def __init__(self, url: str) -> None:
        self._query = f"{url.rstrip('/')}/api/v1/query"
        self._had_it = True

    async def ask(self, session: aiohttp.ClientSession) -> int | None:
        """The workers desired; None where there is no such number now: that is no zero."""
        try:
            number = await self._number(session)
        except (aiohttp.ClientError, TimeoutError, ValueError, OverflowError, KeyError, TypeError) as error:
            if self._had_it:
                log.warning("workers_desired_not_recorded", why=type(error).__name__)
            self._had_it = False
            return None
        if not self._had_it:
            log.info("workers_desired_recorded_again")
        self._had_it = True
        return max(number, 1)

    async def _number(self, session: aiohttp.ClientSession) -> int:
        """Raises ValueError, OverflowError, KeyError or TypeError where the answer has none."""
        async with session.get(self._query, params={"query": RULE}) as response:
            said = await response.json()
        [series] = said["data"]["result"]
        return round(float(series["value"][1]))
