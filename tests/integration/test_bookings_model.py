"""Whatever happens at once to a few seats and doses, nothing is booked twice and the ledger balances to the dose.

A hypothesis state machine on real PostgreSQL: every step runs several things at the same time, each on a connection of
its own and by the code that does it in production, and then the audit's own checks look at what is there.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import asyncpg
import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.support.closing import closed, phoned, shut
from tests.support.commands import appended, book, cancel
from tests.support.commands import reschedule as move
from tests.support.database import Database
from tests.support.holding import REST, Hold, clinic_of, patiently
from tests.support.stocked import FLU, consuming, counted, lot
from tests.support.waiting import OPEN, RUN_OUT, Answers
from tests.support.world import ClinicSpec, clinics, seed, tomorrow
from waiting_room.audit import counters, history, patients, seats, stock, waitlist
from waiting_room.audit.facts import ClinicFacts, Log
from waiting_room.audit.offences import Kind
from waiting_room.domain.appointment import By, ClinicState, EventType, IllegalTransition, Reason
from waiting_room.domain.directory import AdapterKind
from waiting_room.messages import Book, Cancel, Patient, Reschedule, TimeRange
from waiting_room.store import audit as audit_store
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool
from workers.sweep.expire import expire
from workers.sweep.fill import fill
from workers.sweep.waitlist import Looking, lapse
from workers.work_off import work_off

_CHECKS = (history.check, seats.check, stock.check, patients.check, counters.check, waitlist.check)
_AT_CLINIC = (
    EventType.CALLING,
    EventType.CONFIRMED,
    EventType.NOT_BOOKED,
    EventType.OUTCOME_UNKNOWN,
    EventType.WITHDRAWAL_DUE,
    EventType.WITHDRAWN,
    EventType.REJECTED,
    EventType.RESCHEDULED,
    EventType.NOT_MOVED,
    EventType.RESCHEDULE_FAILED,
)
_VISITS = (EventType.ARRIVED, EventType.COMPLETED, EventType.NO_SHOW)
_KEYS, _PATIENTS = 30, 6
_offsets = count()


@dataclass(frozen=True)
class Act:
    """One thing that somebody does; ``number`` says to which booking, ``amount`` what else is to be chosen."""

    what: str
    clinic: int
    number: int
    amount: int


acts = st.builds(
    Act,
    what=st.sampled_from(
        ["book"] * 5
        + ["wait"] * 4
        + ["cancel", "cancel", "move", "clinic", "clinic", "clinic", "recount", "expire", "fill"]
        + ["answer", "answer", "lapse", "look", "phone", "phone", "close"]
    ),
    clinic=st.integers(0, 1),
    number=st.integers(0, _KEYS - 1),
    amount=st.integers(0, 1_000),
)


class Clinics:
    """One clinic with a system of its own and one whose calendar we keep; two seats and a handful of doses each."""

    def __init__(self, pool: Pool, owner_dsn: str, specs: list[ClinicSpec]) -> None:
        self.hold = Hold(pool)
        self.pool = pool
        self.owner_dsn = owner_dsn
        self.specs = specs

    def commands(self, act: Act) -> list[Book | Cancel | Reschedule]:
        spec = self.specs[act.clinic]
        key = f"{spec.clinic_id} {act.number}"
        wish = TimeRange(tomorrow(8), tomorrow(8) + timedelta(hours=1 + act.number % 3, days=act.number % 2))
        booking = book(spec, key, range=wish, patient=Patient(id=f"patient {act.number % _PATIENTS}"))
        if act.what in ("book", "wait"):
            return [msgspec.structs.replace(booking, or_wait=act.what == "wait")]
        if act.what == "cancel":
            return [cancel(booking)]
        to = TimeRange(tomorrow(8), tomorrow(9 + act.amount % 3) + timedelta(days=act.amount % 2))
        return [move(booking, f"{key} to {act.amount}", range=to)]

    async def do(self, act: Act) -> None:
        match act.what:
            case "book" | "wait" | "cancel" | "move":
                items = appended(*self.commands(act), first_offset=next(_offsets))
                _, refused = await work_off(self.hold, items, clinic_of)
                assert not refused
            case "clinic":
                await patiently(lambda: self._happen(act))
            case "recount":
                await patiently(lambda: self._recount(act))
            case "expire":
                await self._run_out(act)
                await expire(self.pool)
            case "fill":
                await fill(self.pool)
            case "answer":
                await self._answer(act)
            case "lapse":
                await self._lapse(act)
            case "look":
                await Looking(self.pool).look()
            case "phone":
                [command] = self.commands(Act("book", act.clinic, act.number, 0))
                await patiently(lambda: phoned(self.pool, self.specs[act.clinic], command.booking_ref, act.amount))
            case "close":
                spec, name = self.specs[act.clinic], f"{act.number}-{act.amount}"
                await patiently(lambda: shut(self.pool, spec, name, act.amount))
                closing = closed(spec, name, act.amount, offset=next(_offsets))
                _, not_closed = await work_off(self.hold, closing, lambda item: item.clinic_id)
                assert not not_closed

    async def _offers(self, act: Act) -> list[str]:
        async with self.pool.acquire() as conn:
            rows = await conn.fetch(OPEN)
        ours = self.specs[act.clinic].clinic_id
        return [row["offer_id"] for row in rows if row["clinic_id"] == ours]

    async def _answer(self, act: Act) -> None:
        """Two say what they think of an offer, perhaps not the same."""
        offers = await self._offers(act)
        if not offers:
            return
        offer, another = offers[act.number % len(offers)], offers[act.amount % len(offers)]
        answers = Answers(self.pool)
        first, second = (answers.accept, answers.decline) if act.amount % 3 else (answers.accept, answers.accept)
        await asyncio.gather(patiently(lambda: first(offer)), patiently(lambda: second(another)))

    async def _lapse(self, act: Act) -> None:
        offers = await self._offers(act)
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            if offers:
                await connection.execute(RUN_OUT, offers[act.number % len(offers)])
        finally:
            await connection.close()
        await lapse(self.pool)

    async def _happen(self, act: Act) -> None:
        """Something lawful at the clinic, if any of it is; what is not is refused before anything is written."""
        [command] = self.commands(Act("book", act.clinic, act.number, 0))
        key = command.clinic_id, command.booking_ref
        async with self.pool.acquire() as conn, conn.transaction():
            journal = await Journal.open(conn, [key[0]])
            booking = (await journal.load([key])).get(key)
            if booking is None:
                return
            likely = [*_VISITS, *(_AT_CLINIC if self.specs[act.clinic].endpoint else ())]
            if booking.known_state.clinic_state is ClinicState.NONE and EventType.CONFIRMED in likely:
                likely.remove(EventType.CONFIRMED)  # it has to be asked first
            for event in random.Random(act.amount).sample(likely, len(likely)):
                try:
                    journal.record(booking, event, reason=Reason.CLINIC_REFUSED, by=By.CLINIC)
                except IllegalTransition:
                    continue
                break
            await journal.write()

    async def _recount(self, act: Act) -> None:
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            tomorrows, later = act.amount % 4, act.amount // 4 % 4
            await counted(connection, self.specs[act.clinic], lot("a", tomorrows, tomorrow().date()), lot("b", later))
        finally:
            await connection.close()

    async def _run_out(self, act: Act) -> None:
        [command] = self.commands(Act("book", act.clinic, act.number, 0))
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            await connection.execute(
                "UPDATE appointments SET hold_until = now() - interval '1 second' WHERE booking_ref = $1",
                command.booking_ref,
            )
        finally:
            await connection.close()

    async def offences(self) -> list[str]:
        """What the audit's checks say of these clinics."""
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                snapshot = await audit_store.take_snapshot(connection)
                heads = {head.clinic_id: head for head in snapshot.clinics}
                facts = {
                    spec.clinic_id: ClinicFacts(
                        clinic_id=spec.clinic_id,
                        adapter=AdapterKind.REST if spec.endpoint else AdapterKind.BUILTIN,
                        now=snapshot.now - timedelta(hours=1),  # that a hold ran out is for sweep to notice
                        settled=False,
                        capacity=snapshot.capacities[spec.clinic_id],
                        counters=heads[spec.clinic_id].counters,
                        log=Log(whole=False),
                    )
                    for spec in self.specs
                }
                await audit_store.load(connection, facts)
        finally:
            await connection.close()
        found = [offence for each in facts.values() for check in _CHECKS for offence in check(each)]
        return [f"{each.kind} {each.booking_ref}: {each.what}" for each in found if each.kind is not Kind.UNSETTLED]


async def test_nothing_is_booked_twice_whatever_happens_at_once(database: Database) -> None:
    numbers = count()
    specs = [
        spec
        for pair in zip(clinics(150, endpoint=REST, capacity=2), clinics(300, capacity=2)[150:], strict=True)
        for spec in pair
    ]
    async with database.owner() as owner:
        await seed(owner, specs)
        await consuming(owner)
        assert await owner.fetchval("SELECT count(*) FROM products WHERE product = $1", FLU)

    class Machine(RuleBasedStateMachine):
        """Each example has clinics of its own: what the one before left does not matter."""

        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.pool = self.runner.run(self._pool())

        async def _pool(self) -> Pool:
            return await asyncpg.create_pool(
                database.owner_dsn, min_size=0, max_size=6, server_settings={"lock_timeout": "200ms"}
            )

        @initialize(first=st.integers(0, 4), second=st.integers(0, 4))
        def open(self, first: int, second: int) -> None:
            at = 2 * (next(numbers) % 150)
            self.clinics = Clinics(self.pool, database.owner_dsn, specs[at : at + 2])
            for clinic in (0, 1):
                self.runner.run(self.clinics.do(Act("recount", clinic, 0, first + 4 * second)))

        @rule(at_once=st.lists(acts, min_size=1, max_size=6))
        def happen(self, at_once: list[Act]) -> None:
            self.runner.run(self._all(at_once))

        async def _all(self, at_once: list[Act]) -> None:
            await asyncio.gather(*(self.clinics.do(act) for act in at_once))

        @invariant()
        def nothing_is_wrong(self) -> None:
            if hasattr(self, "clinics"):
                assert self.runner.run(self.clinics.offences()) == []

        def teardown(self) -> None:
            self.runner.run(self.pool.close())
            self.runner.close()

    budget = settings(
        max_examples=15,
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=(Phase.generate,),  # what happens at once does not happen the same way twice: nothing to shrink
    )
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=budget)
