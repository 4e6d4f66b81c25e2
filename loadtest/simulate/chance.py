"""Short random worlds: a few clinics with a few bad habits each, workers that come and go and die, and a calm end.

Everything is drawn from the seed, so a world that breaks a promise breaks it again. The promises:

- nobody is overtaken who waits in its place; no worker and no clinic gets more calls than it may;
- a booking is called under its lease only, by one caller at a time;
- no worker is idle while work and capacity exist, and none stops reading for good;
- in the end nothing waits; what is confirmed is at its clinic exactly once, and nothing else is.
"""

from __future__ import annotations

from random import Random

from loadtest.clinics.behaviour import ClinicBehaviour, Outage, OutageKind
from loadtest.simulate.store import Booking, Granted
from loadtest.simulate.worker import Worker
from loadtest.simulate.world import SESSION_SECONDS, Rules, World
from waiting_room.domain.appointment import ClinicState, Status
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.domain.clinic_call import Ending
from workers.pacing.work import Where, Work

TROUBLE_SECONDS, LATEST_CANCEL_SECONDS = 60.0, 20.0
DEADLINE_SECONDS = 240.0
LATEST = 3_600.0


class BrokenPromise(AssertionError):
    """Something that must never happen has happened."""


class WatchedWorld(World):
    """A world in which every start and every call is looked at."""

    def observe_start(self, worker: Worker, work: Work) -> None:
        """See above."""
        for other in worker.lanes._roster.works.values():
            waits = other.where is Where.WAITING and other.clinic_id == work.clinic_id and other.rank is work.rank
            if waits and other.turn < work.turn:
                raise BrokenPromise(f"{work.booking_ref} overtook {other.booking_ref}")
        if work.in_flight > self.rules.declared_concurrency:
            raise BrokenPromise(f"{work.in_flight} calls at {work.clinic_id}")
        if worker.lanes.started > worker.calls_max:
            raise BrokenPromise(f"{worker.lanes.started} calls of {worker.name}")

    def observe_call(self, worker: Worker, work: Work, granted: Granted) -> None:
        """See above."""
        super().observe_call(worker, work, granted)
        booking = self.store.bookings[work.key]
        leased = next((each for each in booking.attempts if each.ended_at is None), None)
        if leased is None or leased.attempt != granted.attempt:
            raise BrokenPromise(f"{work.booking_ref} is called without a lease")
        if leased.lease_until < self.clock.at:
            raise BrokenPromise(f"{work.booking_ref} is called after its lease")
        for earlier in booking.attempts:
            if earlier.outcome == Ending.EXPIRED and earlier.lease_until > self.clock.at:
                raise BrokenPromise(f"{work.booking_ref} is called beside another's call")

    def look(self) -> None:
        """Once a second: is anybody idle who need not be?"""
        for worker in self.workers:
            if worker.alive and not worker.frozen and worker.lanes.started < worker.calls_max:
                idle = [each for each, view in worker.lanes.views(self.clock.now).items() if view.why == "worker"]
                if idle:
                    raise BrokenPromise(f"{worker.name} leaves {idle} waiting")
        self.clock.after(1.0, self.look)


def live(seed: int) -> WatchedWorld:
    """A world from its first booking to its last; raises BrokenPromise."""
    chance = Random(f"chance {seed}")
    world = _world(chance, seed)
    world.join(chance.randint(1, 3))
    world.clock.after(1.0, world.look)
    _bookings(world, chance)
    _trouble(world, chance)
    world.clock.run_until(TROUBLE_SECONDS)
    _calm(world)
    world.clock.run_until(TROUBLE_SECONDS + LATEST_CANCEL_SECONDS + 1.0)
    while not world.settled():
        if world.clock.now > LATEST:
            refs = sorted(ref for waiting in world.store.waiting.values() for ref in waiting)
            raise BrokenPromise(f"still waiting: {refs}")
        world.clock.run_until(world.clock.now + 5.0)
    world.clock.run_until(world.clock.now + 2.0)
    _check_clinics(world)
    _check_offsets(world)
    return world


def _world(chance: Random, seed: int) -> WatchedWorld:
    behaviours = {clinic_id_of_number(number): _behaviour(chance) for number in range(1, chance.randint(2, 5))}
    rules = Rules(
        partitions=chance.randint(1, 4),
        calls_max=chance.randint(2, 12),
        lane_max=chance.randint(2, 8),
        call_seconds=chance.choice((2.0, 5.0)),
        lease_seconds=chance.choice((6.0, 10.0)),
        deadline_seconds=DEADLINE_SECONDS,
        deadline_in_outage_seconds=DEADLINE_SECONDS * 2,
        declared_concurrency=chance.choice((2, 8, 64)),
        settle_seconds=12.0,
    )
    return WatchedWorld(behaviours, rules, seed)


def _behaviour(chance: Random) -> ClinicBehaviour:
    outages: tuple[Outage, ...] = ()
    if chance.random() < 0.4:
        begins = chance.uniform(0.0, TROUBLE_SECONDS)
        kinds: tuple[OutageKind, ...] = ("refuse_connection", "hang", "503")
        outages = (Outage(begins, chance.uniform(begins, TROUBLE_SECONDS), chance.choice(kinds)),)

    def rate() -> float:
        return chance.choice((0.0, 0.0, 0.0, 0.1))

    idempotency = chance.random() < 0.8
    return ClinicBehaviour(
        latency_mean=chance.choice((0.3, 1.0)),
        latency_min=0.05,
        processing_limit=10.0,
        capacity=chance.randint(1, 6),
        overload=chance.choice(("reject", "slow", "both")),
        error_rate=rate(),
        refuse_rate=rate(),
        hang_rate=rate(),
        drop_rate=rate(),
        late_rate=rate(),
        late_after=8.0,
        outages=outages,
        idempotency=idempotency,
        lookup=chance.random() < 0.8,
    )


def _bookings(world: WatchedWorld, chance: Random) -> None:
    clinic_ids = list(world.clinics)
    for number in range(chance.randint(5, 60)):
        key = (chance.choice(clinic_ids), f"b{number}")
        at = chance.choice((0.0, chance.uniform(0.0, TROUBLE_SECONDS)))
        world.clock.after(at, world.book, key)
        if chance.random() < 0.2:
            world.clock.after(at + chance.uniform(0.0, LATEST_CANCEL_SECONDS), world.cancel, key)


def _trouble(world: WatchedWorld, chance: Random) -> None:
    for _ in range(chance.randint(0, 4)):
        at = chance.uniform(0.0, TROUBLE_SECONDS)
        world.clock.after(at, _disturb, world, chance.choice(("join", "leave", "crash", "freeze")), chance.random())


def _disturb(world: WatchedWorld, what: str, draw: float) -> None:
    alive = [worker for worker in world.workers if worker.alive and not worker.frozen]
    worker = alive[int(draw * len(alive))] if alive else None
    match what:
        case "join":
            world.join()
        case "leave" if worker is not None and len(alive) > 1:
            world.leave(worker)
        case "crash" if worker is not None:
            world.crash(worker)
            world.clock.after(1.0, world.join)  # what started it starts it again
        case "freeze" if worker is not None:
            world.freeze(worker, draw * 3 * SESSION_SECONDS)


def _calm(world: WatchedWorld) -> None:
    """From now on everybody behaves, and somebody works."""
    for clinic in world.clinics.values():
        calm: dict[str, object] = {f"{fault}_rate": 0.0 for fault in ("error", "refuse", "hang", "drop", "late")}
        clinic.change(clinic.behaviour.patched({**calm, "outages": []}), world.clock.now)
    if not any(worker.alive for worker in world.workers):
        world.join()


def _check_clinics(world: WatchedWorld) -> None:
    for booking in world.store.bookings.values():
        if not booking.state.decided:
            raise BrokenPromise(f"{booking.key} is not decided")
        if booking.state.clinic_state is ClinicState.UNKNOWN:
            continue  # a clinic that can neither be asked nor honours keys: a person must look
        held = _held_by_clinic(world, booking)
        wanted = 1 if booking.state.status is Status.CONFIRMED else 0
        if held != wanted:
            raise BrokenPromise(f"{booking.key} is {booking.state.status}, its clinic holds {held}")


def _held_by_clinic(world: WatchedWorld, booking: Booking) -> int:
    record = world.clinics[booking.key[0]].books.newest(booking.key[1])
    return record.effective_bookings if record else 0


def _check_offsets(world: WatchedWorld) -> None:
    """Everything was read and is done with, and no partition is left paused."""
    world.clock.run_until(world.clock.now + world.rules.commit_seconds * 2 + 3 * SESSION_SECONDS)
    for (topic, number), log in world.logs.items():
        if log.committed != len(log.records):
            raise BrokenPromise(f"{topic}/{number}: committed {log.committed} of {len(log.records)}")
