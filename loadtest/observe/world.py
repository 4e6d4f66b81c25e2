"""The world that is looked at: in it happens whatever a board or a rule has an eye for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp

from devstack.stack import Stack
from devstack.world import Shape
from loadtest.bookings import Mix, mix_from

CONTESTED_SHARE: Final = 0.2
"""Of the bookings: so many want one of a few times, which are soon taken."""
DUE_AFTER_MINUTES: Final = (2, 3, 4)
"""Reminders fall due so long after the world was made, give or take a minute: within the run."""
ASK_EVERY_SECONDS: Final = 0.5

UNSEEN: Final[Mapping[str, str]] = {
    "Capacity and cost: Rebalances": "no supervisor runs here: one confirm worker has all partitions throughout",
}
"""By "board: panel": why a panel rightly shows nothing of this world."""


def stack_of(folder: Path, valkey_url: str, now: datetime) -> Stack:
    """The demo's world, with vaccinations that ask for eligibility, clinics that are asked what has changed there, the
    hot tier, and reminders due soon.
    """
    stack = Stack(Shape(slow=1, down=0, eligibility="fail_open", reports_changes=True), folder)
    stack.extra_env["WAITING_ROOM_VALKEY_URL"] = valkey_url
    stack.extra_env["WAITING_ROOM_NOTIFY_REMINDERS"] = ",".join(leads(now, mix_from(now)))
    return stack


def leads(now: datetime, mix: Mix) -> Iterator[str]:
    """How long before each contested time it is, in whole minutes, in two, three and four minutes.

    Who books one of these times at once is reminded of it in the run. What else is booked is reminded of later.
    """
    minute = now.replace(second=0, microsecond=0)
    for number, after in itertools.product(range(mix.contested_slots), DUE_AFTER_MINUTES):
        start_at = mix.contested_from + timedelta(minutes=mix.slot_minutes * number)
        yield f"{(start_at - minute) // timedelta(minutes=1) - after}m"


async def ask_what_is_free(description: Mapping[str, Any]) -> None:
    """Until it is cancelled: a patient looks at a provider's calendar, then another at the next one's."""
    headers = {"Authorization": f"Bearer {description['app_key']}"}
    providers = itertools.cycle(each for clinic in description["clinics"] for each in clinic["provider_ids"])
    async with aiohttp.ClientSession(description["ingress_url"], headers=headers) as session:
        for provider_id in providers:
            async with session.get(f"/v1/providers/{provider_id}/slots?service=consultation") as answer:
                answer.raise_for_status()
            await asyncio.sleep(ASK_EVERY_SECONDS)
