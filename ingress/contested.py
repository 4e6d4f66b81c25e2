"""A booking of a time that is taken, refused at once: only where that is certain at this moment, else it is accepted.

The hot tier's marks say where to look; PostgreSQL says what is so, in one statement, after the request came:

- everything that was appended before the request is held, so that nothing accepted earlier can free a seat yet;
- its key has no booking. A retry of one that was accepted is answered like its first try;
- by the rules of now, every seat is claimed by somebody who cannot lose it but by an event.

Whatever cannot be told within ``contested_within_ms`` is accepted, and hold decides it as it always does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import structlog

from ingress import problems
from ingress.alternatives import Alternatives
from ingress.answers import NEXT_STEP
from ingress.calendars import Calendars
from ingress.directory import Site
from ingress.line import Lines
from ingress.links import JOIN_WAITLIST
from ingress.reads import Reads
from ingress.refusal import Alternative, Refused
from waiting_room import taken_marks
from waiting_room.domain.appointment import Reason
from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.schedule import busy_for, offers
from waiting_room.domain.seats import Candidate, Taken
from waiting_room.hot_tier import HotTier
from waiting_room.in_time import in_time
from waiting_room.partition_ends import PartitionEnds
from waiting_room.store import holds, slots
from waiting_room.store.holds import Rules
from waiting_room.store.pool import Connection
from waiting_room.store.slots import Contest, WantedTime
from waiting_room.telemetry import metrics
from waiting_room.together import Together
from waiting_room.topics import BOOKING_REQUESTS

log = structlog.get_logger(__name__)
_PROVIDERS_MAX: Final = 8
"""A time that more of a clinic's providers offer is looked up by hold alone."""


class Wish(NamedTuple):
    """An exact start that a caller wants, of one provider or of any at the clinic."""

    site: Site
    provider_id: str | None
    service_type: str
    start_at: datetime
    booking_ref: str
    app_id: str
    key_hash: bytes

    @property
    def clinic_id(self) -> str:
        return self.site.clinic.clinic_id

    @property
    def reason(self) -> Reason:
        return Reason.SLOT_TAKEN


class _Look(NamedTuple):
    """What is asked of PostgreSQL for one wish: a time at each provider who could take it."""

    wish: Wish
    times: list[tuple[Provider, Candidate]]


class Contested:
    """Looks for many at once; at most one look is under way."""

    def __init__(
        self,
        tier: HotTier | None,
        ends: PartitionEnds,
        lines: Lines,
        reads: Reads,
        calendars: Calendars,
        alternatives: Alternatives,
        within_seconds: float,
    ) -> None:
        """``within_seconds``: for looking, and as long again for what else is free."""
        self._tier = tier
        self._within_seconds = within_seconds
        self._ends = ends
        self._lines = lines
        self._reads = reads
        self._calendars = calendars
        self._alternatives = alternatives
        self._looking = Together("look at contested times", self._look_in_time)

    @property
    def on(self) -> bool:
        """Whether there is a hot tier, which alone says where to look."""
        return self._tier is not None

    async def refuse_if_taken(self, wish: Wish) -> None:
        """Raises Refused (409, outcome none) where no seat of it can be had. Without a hot tier it never does."""
        tier = self._tier
        if tier is None or not await self._marked(tier, wish):
            return
        try:
            found = await self._looking.ask(wish)
        except Exception as error:  # whatever it is, the booking can be accepted as without a mark
            log.warning("contest_not_told", error=type(error).__name__)
            found = "unsure"
        metrics.CONTESTED.labels(found).inc()
        if found == "free":
            for provider in _asked(wish):
                tier.drop(taken_marks.key_of((provider.provider_id, wish.start_at)))
        elif found == "refused":
            raise await self._taken(wish)

    async def _marked(self, tier: HotTier, wish: Wish) -> bool:
        providers = _asked(wish)
        if not 0 < len(providers) <= _PROVIDERS_MAX:
            return False
        keys = [taken_marks.key_of((each.provider_id, wish.start_at)) for each in providers]
        return all(value is not None for value in await tier.get(keys))

    async def _look_in_time(self, wishes: Sequence[Wish]) -> list[str]:
        return await in_time(self._within_seconds, self._look(wishes))

    async def _look(self, wishes: Sequence[Wish]) -> list[str]:
        """How each stands: refused, free, known, or unsure. Raises KafkaError, Refused (503)."""
        partitions = sorted({each for wish in wishes for each in _partitions(wish.site)})
        ends = await self._ends.of(partitions)
        # Before the statement that looks: what is held only after it may have freed what it saw taken.
        said = {each: word.next_offset for each in partitions if (word := self._lines.held(each)) is not None}
        told = await self._calendars.rules(sorted({wish.clinic_id for wish in wishes}))
        looks = [_Look(wish, list(_times(wish, told.rules.get(wish.clinic_id)))) for wish in wishes]

        async def read(connection: Connection) -> tuple[dict[int, int], list[Contest]]:
            consumed = await holds.consumed(connection, BOOKING_REQUESTS, partitions)
            wanted = [_wanted(look.wish, candidate) for look in looks for _, candidate in look.times]
            return consumed, await slots.contested(connection, wanted) if wanted else []

        consumed, contests = await self._reads.run(read)
        # Hold's word counts where the last records were no commands: PostgreSQL hears of those with the next command.
        held = {each for each, end in ends.items() if max(consumed.get(each, 0), said.get(each, 0)) >= end}
        rest = iter(contests)
        return [
            _standing(look, [next(rest) for _ in look.times], told.rules.get(look.wish.clinic_id), held)
            for look in looks
        ]

    async def _taken(self, wish: Wish) -> Refused:
        alternatives: tuple[Alternative, ...] = ()
        with suppress(TimeoutError):  # better told at once than told everything
            alternatives = await in_time(self._within_seconds, self._alternatives.near(wish))
        metrics.REFUSED.labels(problems.SLOT_TAKEN.name).inc()
        more = {
            "outcome": "none",
            "reason": Reason.SLOT_TAKEN,
            "next_step": NEXT_STEP[Reason.SLOT_TAKEN],
            "alternatives": alternatives,
            "waitlist": JOIN_WAITLIST,
        }
        return Refused(problems.SLOT_TAKEN, "Every seat of that time is taken.", more=more)


def _asked(wish: Wish) -> list[Provider]:
    """Who could take it, by the directory."""
    service = wish.site.services.get(wish.service_type)
    if service is None:
        return []
    return list(_offering(wish, wish.site.offering.get(wish.service_type, ()), service, wish.site.clinic.timezone))


def _offering(wish: Wish, providers: Sequence[Provider], service: ServiceType, timezone: str) -> Iterator[Provider]:
    for provider in providers:
        if wish.provider_id in (None, provider.provider_id) and offers(provider, service, timezone, wish.start_at):
            yield provider


def _times(wish: Wish, rules: Rules | None) -> Iterator[tuple[Provider, Candidate]]:
    """The same by the rules of now, as hold would look for it."""
    service = rules.service_types.get(wish.service_type) if rules is not None else None
    if rules is None or service is None:
        return
    offering = [each for each in rules.providers.values() if wish.service_type in each.service_types]
    for provider in _offering(wish, offering, service, rules.timezone):
        start = wish.start_at
        busy_until = start + busy_for(provider, service)
        yield provider, Candidate(provider.provider_id, provider.capacity, start, busy_until, busy_until)


def _wanted(wish: Wish, candidate: Candidate) -> WantedTime:
    return WantedTime(
        wish.clinic_id,
        candidate.provider_id,
        candidate.start_at,
        candidate.busy_until,
        wish.app_id,
        wish.key_hash,
    )


def _partitions(site: Site) -> set[int]:
    """Where what was accepted for this clinic may still wait to be held."""
    return {each for each in (site.clinic.partition, site.clinic.moved_from) if each is not None}


def _standing(look: _Look, contests: Sequence[Contest], rules: Rules | None, held: set[int]) -> str:
    if any(contest.known for contest in contests):
        return "known"
    if rules is None or not contests or any(contest.rules_version != rules.version for contest in contests):
        return "unsure"
    for (_, candidate), contest in zip(look.times, contests, strict=True):
        if next(_taken(candidate.provider_id, contest).free_seats(candidate), None) is not None:
            return "free"
    return "refused" if _partitions(look.wish.site) <= held else "unsure"


def _taken(provider_id: str, contest: Contest) -> Taken:
    taken = Taken()
    for each in contest.taken:
        if each.seat is None:
            taken.block(provider_id, each.start_at, each.busy_until, each.seats)
        else:
            taken.add(provider_id, each.seat, each.start_at, each.busy_until)
    return taken
