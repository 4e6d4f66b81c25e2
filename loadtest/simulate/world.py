"""Clinics, partitions, workers and what happens to them, in virtual time: deterministic by seed.

The pacing is the product's own (``workers.pacing``), so are the rules of claims and outcomes (``domain``) and the
clinics (``loadtest.clinics``, as they run behind sockets). Kafka and PostgreSQL are a list and a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from loadtest.clinics.behaviour import ClinicBehaviour
from loadtest.clinics.clinic import Clinic
from loadtest.simulate.clock import Clock
from loadtest.simulate.store import Booking, Granted, Store
from loadtest.simulate.worker import Worker
from waiting_room.domain.appointment import ClinicState
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.directory import AdapterKind
from waiting_room.topics import CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY
from workers.pacing.adaptive import AdaptiveLimit, Remembered
from workers.pacing.offsets import Partition
from workers.pacing.work import Work

HOLD_SECONDS = 0.08
"""From the answer to the caller until the seat is held and confirm has been rung for."""

SESSION_SECONDS = 10.0
"""After this silence a worker's partitions go to the others."""

SWEEP_SECONDS = 1.0


@dataclass(slots=True)
class Log:
    """A partition of one topic: (clinic_id, booking_ref), what is committed, and how far each worker has read."""

    records: list[tuple[str, str]] = field(default_factory=list)
    committed: int = 0
    position: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a world is run with; times in seconds."""

    partitions: int = 24
    calls_max: int = 500
    lane_max: int = 64
    call_seconds: float = 10.0
    lease_seconds: float = 15.0
    deadline_seconds: float = 7_200.0
    deadline_in_outage_seconds: float = 86_400.0
    declared_concurrency: int = 64
    settle_seconds: float = 31.0
    commit_seconds: float = 0.5


class World:
    """Put bookings in with ``book``, workers with ``join``; then let ``clock`` run."""

    def __init__(self, behaviours: Mapping[str, ClinicBehaviour], rules: Rules, seed: int) -> None:
        self.clock = Clock()
        self.store = Store()
        self.chance = Random(f"world {seed}")
        self.rules = rules
        self.lane_max, self.call_seconds, self.lease_seconds = rules.lane_max, rules.call_seconds, rules.lease_seconds
        self.topics = (CLINIC_CONFIRMATIONS_PRIORITY, CLINIC_CONFIRMATIONS)
        self.clinics = {
            clinic_id: Clinic(clinic_id, behaviour, seed, lambda event: None)
            for clinic_id, behaviour in behaviours.items()
        }
        self.systems = {
            clinic_id: ClinicSystem(
                clinic_id,
                AdapterKind.REST,
                "http://clinic",
                rules.declared_concurrency,
                rules.settle_seconds,
                honours_idempotency=behaviour.idempotency,
                has_lookup=behaviour.lookup,
            )
            for clinic_id, behaviour in behaviours.items()
        }
        self.partition_of = {clinic_id: number % rules.partitions for number, clinic_id in enumerate(behaviours)}
        sharing: dict[int, int] = {}
        for partition in self.partition_of.values():
            sharing[partition] = sharing.get(partition, 0) + 1
        self.shared = {clinic_id for clinic_id, partition in self.partition_of.items() if sharing[partition] > 1}
        self.logs: dict[Partition, Log] = {
            (topic, number): Log() for topic in self.topics for number in range(rules.partitions)
        }
        self.memory: dict[str, Remembered] = {}
        self.workers: list[Worker] = []
        self.rebalances = 0
        self.calls = 0
        self._owners: list[Worker | None] = [None] * rules.partitions
        self._named = 0
        self._unheld: dict[str, int] = {}
        self.clock.after(SWEEP_SECONDS, self._sweep)
        self.clock.after(self.rules.commit_seconds, self._commit)

    # Workers

    def join(self, count: int = 1) -> list[Worker]:
        """New workers, after one rebalance."""
        made = []
        for _ in range(count):
            self._named += 1
            made.append(Worker(self, f"worker-{self._named}", self.rules.calls_max))
        self.workers.extend(made)
        self._rebalance()
        return made

    def leave(self, worker: Worker) -> None:
        """It finishes what it has under way, without starting more, and its partitions go to the others at once."""
        worker.lanes.stop()
        worker.commit()
        self.workers.remove(worker)
        self._rebalance()
        worker.then(worker.lanes.revoked, [(topic, each) for each in worker.partitions for topic in self.topics], 0.0)

    def crash(self, worker: Worker) -> None:
        """kill -9: the others notice after the session timeout."""
        worker.crash()
        self.clock.after(SESSION_SECONDS, self._gone, worker)

    def freeze(self, worker: Worker, seconds: float) -> None:
        """SIGSTOP, then SIGCONT: past the session timeout it has lost its partitions, and learns so when thawed."""
        worker.freeze(seconds)
        if seconds > SESSION_SECONDS:
            self.clock.after(SESSION_SECONDS, self._gone, worker)
            self.clock.after(seconds, self._back, worker)

    def learnt(self) -> dict[str, Remembered]:
        """What this world's workers leave to the next one's."""
        found = dict(self.memory)
        for worker in self.workers:
            for clinic_id, limit in worker.lanes.limits().items():
                if isinstance(limit, AdaptiveLimit) and limit.memory is not None:
                    found[clinic_id] = limit.memory
        return found

    def owner_of(self, partition: int) -> Worker | None:
        return self._owners[partition]

    def _gone(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self._rebalance()

    def _back(self, worker: Worker) -> None:
        if worker.alive and worker not in self.workers:
            self.workers.append(worker)
            self._rebalance()

    def _rebalance(self) -> None:
        """As the range assignor does: neighbours together, shares as equal as can be."""
        self.rebalances += 1
        self._owners = [None] * self.rules.partitions
        members = sorted(self.workers, key=lambda worker: worker.name)
        at = 0
        for number, worker in enumerate(members):
            share = self.rules.partitions // len(members) + (number < self.rules.partitions % len(members))
            mine = set(range(at, at + share))
            at += share
            for partition in mine:
                self._owners[partition] = worker
            worker.assign(mine)

    # Bookings

    def book(self, key: tuple[str, str], *, eta: tuple[float, float] | None = None) -> None:
        """Accepted now, held and rung for a moment later."""
        self._unheld[key[0]] = self._unheld.get(key[0], 0) + 1
        self.clock.after(HOLD_SECONDS, self._hold, key, self.clock.now, eta)

    def cancel(self, key: tuple[str, str]) -> None:
        """Accepted now, carried out a moment later."""
        self.clock.after(HOLD_SECONDS, self._cancel, key)

    def _hold(self, key: tuple[str, str], accepted: float, eta: tuple[float, float] | None) -> None:
        self._unheld[key[0]] -= 1
        booking = self.store.hold(
            key,
            accepted,
            self.clock.now,
            self.clock.at,
            timedelta(seconds=self.rules.deadline_seconds),
            timedelta(seconds=self.rules.deadline_in_outage_seconds),
        )
        booking.eta = eta
        self.ring([booking])

    def _cancel(self, key: tuple[str, str]) -> None:
        booking = self.store.cancel(key, self.clock.now)
        if booking is not None and booking.state.clinic_state is not ClinicState.NONE:
            self.ring([booking])

    def ring(self, bookings: Iterable[Booking]) -> None:
        """Append doorbells; withdrawals to the priority topic."""
        for booking in bookings:
            withdrawing = booking.state.clinic_state is ClinicState.WITHDRAWING
            clinic_id = booking.key[0]
            partition = self.partition_of[clinic_id]
            log = self.topics[0 if withdrawing else 1], partition
            self.logs[log].records.append(booking.key)
            if (owner := self._owners[partition]) is not None:
                owner.news(log)

    def lines_in(self, partitions: set[int]) -> list[str]:
        """As ``waiting_room.store.left_to_call.lines_in``, of clinics that share their partition."""
        return [
            clinic_id
            for clinic_id, waiting in self.store.waiting.items()
            if waiting and clinic_id in self.shared and self.partition_of[clinic_id] in partitions
        ]

    def line(self, clinic_id: str) -> int:
        """Accepted and undecided bookings of a clinic."""
        return self.store.lines.get(clinic_id, 0) + self._unheld.get(clinic_id, 0)

    def settled(self) -> bool:
        """Whether no booking has a call left to make."""
        return not any(self.store.waiting.values())

    # What time does

    def _sweep(self) -> None:
        at = self.clock.at
        for clinic_id in list(self.store.waiting):
            self.store.expire(clinic_id, self.clock.now, at, down=self.is_down(clinic_id))
        self.ring(self.store.unheard(at))
        self.clock.after(SWEEP_SECONDS, self._sweep)

    def is_down(self, clinic_id: str) -> bool:
        """Whether its worker takes it to be down."""
        owner = self._owners[self.partition_of[clinic_id]]
        return owner is not None and owner.lanes.is_down(clinic_id)

    def _commit(self) -> None:
        for worker in self.workers:
            worker.commit()
        self.clock.after(self.rules.commit_seconds, self._commit)

    # For those who watch

    def observe_start(self, worker: Worker, work: Work) -> None:
        """A work starts."""

    def observe_call(self, worker: Worker, work: Work, granted: Granted) -> None:
        """A call leaves."""
        self.calls += 1
        booking = self.store.bookings[work.key]
        if booking.first_call is None:
            booking.first_call = self.clock.now
