"""What patients were told at the door against what became of it: until when, and in which place.

Clinics that hide how many calls they take (1 to 8), some of them four times slower, all failing now and then. Half of
what they can decide comes first, then for a while half as much again, then less: lines of seconds to many minutes.

- in the simulator: 32 clinics in real proportions, from nothing and with yesterday's limits remembered;
- on sockets: 24 clinics, five times faster than in life. A quarter of them is away for a while in the middle. Some
  patients look at their place all the time.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import asyncpg
import msgspec

from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from loadtest.clinics.behaviour import ClinicBehaviour
from loadtest.simulate.callers import Callers
from loadtest.simulate.run import percentile
from loadtest.simulate.world import Rules, World
from waiting_room.domain.appointment import Status
from waiting_room.domain.booking_ref import clinic_id_of_number

LEAST_COVERED, MOST_COVERED, MOST_ERROR, FROM_SECONDS = 0.85, 0.95, 0.20, 10.0
SIMULATED, SIMULATED_SECONDS = 32, 1_200.0
PHASES = ((0.0, 0.5), (0.2, 1.5), (0.5, 0.4))
"""From this share of the time on, this share of what the clinics can decide."""

SCALE = 5
CLINICS, SECONDS = 24, 180.0
OUTAGE_FROM, OUTAGE_SECONDS, AWAY = 80.0, 20.0, 6
WATCHED, LOOK_SECONDS = 40, 1.0
FOLDER = RUN / "bench-eta"
ENV = {"WAITING_ROOM_CLINIC_CALL_SECONDS": "4", "WAITING_ROOM_CLINIC_LEASE_SECONDS": "6"}


@dataclass(frozen=True)
class Told:
    """``outcomes``: (p50, p90, waited) in seconds; ``scale``: how much faster than in life they were."""

    outcomes: list[tuple[float, float, float]]
    scale: float = 1.0

    @property
    def covered(self) -> float:
        return sum(waited <= p90 for _, p90, waited in self.outcomes) / len(self.outcomes)

    @property
    def error(self) -> float:
        """The median, relative, of waits over ten seconds in life."""
        long = [each for each in self.outcomes if each[2] * self.scale > FROM_SECONDS]
        return percentile(sorted(abs(waited - p50) / waited for p50, _, waited in long), 0.5)

    @property
    def good(self) -> bool:
        return LEAST_COVERED <= self.covered <= MOST_COVERED and self.error <= MOST_ERROR


@dataclass
class Places:
    """Seen by patients who look all the time."""

    looks: int = 0
    grown: int = 0
    longest_told: float = 0.0
    null: int = 0
    by_ref: dict[str, int] = field(default_factory=dict)


async def measure(seed: int) -> Result:
    """The value is the share of outcomes on sockets that p90 covered."""
    began = time.monotonic()
    cold_world = _simulate(seed)
    cold, warm = _told_in(cold_world), _told_in(_simulate(seed + 1, cold_world))
    real, hit, places = await _on_sockets(seed)
    rows: dict[str, Any] = {}
    for name, told in (("simulated, from nothing", cold), ("simulated, remembered", warm), ("on sockets", real)):
        rows[f"{name}: outcomes; covered by p90"] = f"{len(told.outcomes):,}; {told.covered:.3f}"
        rows[f"{name}: median error of waits over {FROM_SECONDS:g} s in life"] = told.error
    rows |= {
        "at clinics that were away: outcomes; covered by p90": f"{len(hit.outcomes):,}; {hit.covered:.3f}",
        "the longest p90 told to anybody, s": max(p90 for _, p90, _ in (*real.outcomes, *hit.outcomes)),
        "looks at a place; of those without an ETA": f"{places.looks:,}; {places.null:,}",
        "places that grew": places.grown,
        "the longest p90 seen while waiting, s": places.longest_told,
    }
    return Result(
        name="eta",
        promise="p90 covers nine of ten outcomes, p50 is near them, a place never grows",
        target=f"covers {LEAST_COVERED:.0%}-{MOST_COVERED:.0%}; median error <= {MOST_ERROR:.0%}; 0 places grow",
        value=real.covered,
        unit="of outcomes on sockets within p90",
        passed=cold.good and warm.good and real.good and not places.grown and places.looks > 0,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows=rows,
        notes=[
            f"simulator: {SIMULATED} clinics, real time; sockets: {CLINICS} clinics, {SCALE} times faster than in life",
            f"on sockets {AWAY} clinics were away for {OUTAGE_SECONDS:g} s; bookings told an ETA before that are apart",
        ],
    )


def _simulate(seed: int, yesterday: World | None = None) -> World:
    """A world at its end."""
    chance = Random(f"eta {seed}")
    behaviours = {
        clinic_id_of_number(number): ClinicBehaviour(
            capacity=1 + number % 8,
            overload="slow" if number % 2 else "reject",
            slow_factor=4.0 if number % 10 == 9 else 1.0,
            error_rate=0.02,
            drop_rate=0.01,
            refuse_rate=0.02,
        )
        for number in range(1, SIMULATED + 1)
    }
    world = World(behaviours, Rules(partitions=SIMULATED // 2, calls_max=1_000), seed)
    if yesterday is not None:
        world.memory.update(yesterday.learnt())
    world.join(2)
    callers = Callers(world)
    for clinic_id, behaviour in behaviours.items():
        per_second = behaviour.capacity / behaviour.latency_mean / behaviour.slow_factor
        for number, moment in enumerate(_arrivals(chance, per_second)):
            world.clock.after(moment, callers.post, (clinic_id, f"{clinic_id}-{number}"))
    world.clock.run_until(3 * SIMULATED_SECONDS)
    return world


def _arrivals(chance: Random, per_second: float) -> Iterable[float]:
    moment = 0.0
    while moment < SIMULATED_SECONDS:
        load = [load for since, load in PHASES if moment >= since * SIMULATED_SECONDS][-1]
        moment += chance.expovariate(per_second * load)
        yield moment


def _told_in(world: World) -> Told:
    return Told(
        [
            (booking.eta[0], booking.eta[1], booking.decided - booking.accepted)
            for booking in world.store.decided
            if booking.eta is not None and booking.decided is not None and booking.state.status is not Status.CANCELLED
        ]
    )


async def _on_sockets(seed: int) -> tuple[Told, Told, Places]:
    """(bookings that no outage touched, bookings at clinics that were away, what patients saw of their places)."""
    shape = Shape(
        clinics=CLINICS, slow=0, down=0, hidden=True, time_scale=1 / SCALE, providers=12, webhooks=False, seed=seed
    )
    stack = Stack(shape, FOLDER, extra_env=ENV)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        away = [clinic["id"] for clinic in stack.world.clinics[::4][:AWAY]]
        places = Places()
        sending = asyncio.create_task(_send(stack, seed))
        watching = asyncio.create_task(_watch(stack, places, seed))
        outage_at = await _outage(stack, away)
        accepted = await sending
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            while await connection.fetchval(_DECIDED) < accepted:
                await asyncio.sleep(1)
            rows = await connection.fetch(_OUTCOMES, away, outage_at)
        finally:
            await connection.close()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await stack.stop()
    told: dict[bool, list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        told[row["hit"]].append((row["eta_p50"], row["eta_p90"], row["waited"]))
    return Told(told[False], SCALE), Told(told[True], SCALE), places


async def _send(stack: Stack, seed: int) -> int:
    """The phases one after the other; how many were accepted."""
    capacity = sum(clinic["capacity"] for clinic in stack.world.clinics) / (1.7 / SCALE)
    accepted: set[str] = set()
    for number, (since, load) in enumerate(PHASES):
        until = PHASES[number + 1][0] if number + 1 < len(PHASES) else 1.0
        profile = {"type": "poisson", "rate": load * capacity, "seconds": (until - since) * SECONDS}
        plan = {
            "url": stack.description["ingress_url"],
            "app_key": stack.description["app_key"],
            "seed": seed + number,
            "profile": profile,
        }
        _, rows = await send(FOLDER, plan)
        accepted |= {row.booking_ref for row in rows if row.status == 202 and row.booking_ref}
    return len(accepted)


async def _outage(stack: Stack, away: list[str]) -> Any:
    """The moment from which the clinics that go away were about to, on PostgreSQL's clock."""
    await asyncio.sleep(OUTAGE_FROM)
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        moment = await connection.fetchval("SELECT now()")
    finally:
        await connection.close()
    async with aiohttp.ClientSession(stack.clinics_url) as session:
        for down in ("503", None):
            for clinic_id in away:
                async with session.patch(
                    f"/_sim/clinics/{clinic_id}", data=msgspec.json.encode({"down": down})
                ) as told:
                    told.raise_for_status()
            await asyncio.sleep(OUTAGE_SECONDS if down else 0)
    return moment


async def _watch(stack: Stack, places: Places, seed: int) -> None:
    """Some of those who wait look at their booking again and again until it is decided."""
    chance = Random(seed)
    headers = {"Authorization": f"Bearer {stack.description['app_key']}"}
    connection = await asyncpg.connect(stack.owner_dsn)
    async with aiohttp.ClientSession(stack.description["ingress_url"], headers=headers) as session:
        try:
            while True:
                if len(places.by_ref) < WATCHED:
                    waiting = [row["booking_ref"] for row in await connection.fetch(_WAITING)]
                    for ref in chance.sample(waiting, min(len(waiting), WATCHED - len(places.by_ref))):
                        places.by_ref.setdefault(ref, 1_000_000)
                for ref in list(places.by_ref):
                    async with session.get(f"/v1/appointments/{ref}") as answer:
                        _look(places, ref, await answer.json())
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await connection.close()


def _look(places: Places, ref: str, told: dict[str, Any]) -> None:
    place, eta = told.get("place"), told.get("eta")
    if told["status"] != "pending" or place is None:
        del places.by_ref[ref]
        return
    places.looks += 1
    places.grown += place > places.by_ref[ref]
    places.by_ref[ref] = place
    if eta is None:
        places.null += 1
    else:
        places.longest_told = max(places.longest_told, eta["p90"])


_DECIDED = "SELECT count(*) FROM appointments WHERE status <> 'pending'"
_WAITING = "SELECT booking_ref FROM appointments WHERE status = 'pending' AND stage = 'held' LIMIT 500"
_OUTCOMES = """
SELECT
    eta_p50::float,
    eta_p90::float,
    EXTRACT(EPOCH FROM decided_at - accepted_at)::float AS waited,
    clinic_id = any($1) AND decided_at >= $2 AS hit
FROM appointments
WHERE eta_p50 IS NOT NULL AND decided_at IS NOT NULL
"""
