"""Patients in virtual time: they post, are let in or told to come back, and come back when they were told to."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingress import admission
from ingress.promises import Promises
from loadtest.simulate.world import World
from waiting_room.domain.eta import Pace

CEILING_SECONDS = 1_800
TRIES = 5


@dataclass(slots=True)
class Callers:
    """Admission is the product's own; ``refused`` counts refusals, ``gave_up`` callers refused TRIES times."""

    world: World
    ceiling_seconds: int = CEILING_SECONDS
    accepted: int = 0
    refused: int = 0
    let_in_when_told: int = 0
    gave_up: list[tuple[str, str]] = field(default_factory=list)
    longest_line: float = 0.0
    """The longest expected wait that anybody was let in to, in seconds."""
    _promises: Promises = field(default_factory=Promises)

    def post(self, key: tuple[str, str], tried: int = 0) -> None:
        """A request; refused, it comes again at the time it was given."""
        clinic_id, ref = key
        now = self.world.clock.now
        pace, place = self._pace(clinic_id), self.world.line(clinic_id) + 1
        is_due = self._promises.is_due(clinic_id, ref, now)
        too_long = admission.line(
            place=place,
            promised=self._promises.standing(clinic_id, now),
            is_due=is_due,
            pace=pace,
            wait_ceiling_seconds=self.ceiling_seconds,
        )
        if too_long is not None:
            self.refused += 1
            if tried + 1 >= TRIES:
                self.gave_up.append(key)
                return
            after = self._promises.give(clinic_id, ref, now, **too_long._asdict())
            self.world.clock.after(after, self.post, key, tried + 1)
            return
        if tried:
            self.let_in_when_told += 1
            self._promises.kept(clinic_id, ref)
        self.accepted += 1
        eta = None
        if pace is not None:
            self.longest_line = max(self.longest_line, pace.wait(place)[0])
            if not self.world.is_down(clinic_id):
                told = pace.eta(place, self.world.rules.deadline_seconds)
                eta = told.p50, told.p90
        self.world.book(key, eta=eta)

    def _pace(self, clinic_id: str) -> Pace | None:
        owner = self.world.owner_of(self.world.partition_of[clinic_id])
        running, limit = (owner.paces.get(clinic_id), owner.lanes.limit_of(clinic_id)) if owner else (None, None)
        if running is None or limit is None:
            return None
        slot, decision = running.slot, running.decision
        if slot.mean is None:
            return None
        return Pace(limit.allowed(self.world.clock.now), slot.mean, slot.sigma, decision.mean, decision.sigma)
