"""One audit: gather what everyone has recorded, in an order that leaves no room for excuses, and check it.

What was told before the snapshot must be in it or in the log; what others recorded after it may be ahead of it; and
the log, read last, must hold everything the snapshot does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from waiting_room.audit import (
    acknowledged,
    clinic_record,
    counters,
    evidence,
    history,
    keys,
    log,
    patients,
    seats,
    stock,
    waitlist,
    webhooks,
)
from waiting_room.audit.evidence import Ledger
from waiting_room.audit.facts import ClinicFacts, Kept, Seen
from waiting_room.audit.offences import Check
from waiting_room.audit.stays import stays_of
from waiting_room.audit.verdict import Verdict
from waiting_room.domain.appointment import EventType
from waiting_room.domain.directory import AdapterKind
from waiting_room.settings import Settings
from waiting_room.store import audit as store
from waiting_room.store.audit import ClinicHead, Snapshot
from waiting_room.store.pool import Connection

CHECKS: Final[tuple[Check, ...]] = (
    acknowledged.check,
    history.check,
    seats.check,
    stock.check,
    patients.check,
    waitlist.check,
    clinic_record.check,
    counters.check,
    webhooks.check,
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Files or URLs of what others recorded; None where there is no such record."""

    ledger: str | None = None
    clinic_records: str | None = None
    received: str | None = None


async def audit(conn: Connection, settings: Settings, sources: Sources, *, settled: bool) -> Verdict:
    """``settled``: nothing may be waiting any more. Raises EvidenceUnreadable, KafkaError and database errors."""
    ledger = await evidence.read_ledger(sources.ledger) if sources.ledger else None
    committed = await log.committed(settings)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        snapshot = await store.take_snapshot(conn)
        kept = await evidence.read_clinic_records(sources.clinic_records) if sources.clinic_records else None
        received = await evidence.read_received(sources.received) if sources.received else None
        found = await log.read(settings, log.offsets_in_database(snapshot.consumed, committed))
        gathered = _Gathered(snapshot, found, ledger, kept, received, settled)
        return await _check_all(conn, gathered)


@dataclass(frozen=True, slots=True)
class _Gathered:
    snapshot: Snapshot
    log: log.Read
    ledger: Ledger | None
    kept: dict[str, list[Kept]] | None
    received: dict[str, dict[tuple[str, int], Seen]] | None
    settled: bool

    def clinics(self) -> list[ClinicHead]:
        """Those of the database, and those that only others know of."""
        there = {clinic.clinic_id for clinic in self.snapshot.clinics}
        told = self.ledger.by_clinic if self.ledger else ()
        named = {*self.log.by_clinic, *told, *(self.kept or ()), *(self.received or ())}
        return [*self.snapshot.clinics, *(ClinicHead(name, None, None, None) for name in sorted(named - there))]

    def same_key(self) -> list[list[str]]:
        return [*self.log.same_key, *(self.ledger.same_key if self.ledger else ())]

    def facts_of(self, clinic: ClinicHead) -> ClinicFacts:
        """What is known of a clinic beside its rows."""
        clinic_id = clinic.clinic_id
        aliases = self.snapshot.aliases.get(clinic_id, {})
        stays = stays_of(clinic.partition, self.snapshot.moves.get(clinic_id, ()))
        return ClinicFacts(
            clinic_id=clinic_id,
            adapter=clinic.adapter or AdapterKind.REST,
            now=self.snapshot.now,
            settled=self.settled,
            capacity=self.snapshot.capacities.get(clinic_id, {}),
            counters=clinic.counters,
            aliases={ref: booking_ref for ref, (booking_ref, _) in aliases.items()},
            dangling={ref for ref, (_, leads_to_row) in aliases.items() if not leads_to_row},
            endpoints=[*self.snapshot.endpoints.get(clinic_id, ()), *self.snapshot.app_endpoints],
            log=self.log.of(clinic_id, stays),
            stays=stays,
            claims_since=self.snapshot.claims_since,
            answers=self.ledger.by_clinic[clinic_id] if self.ledger else [],
            kept=None if self.kept is None else self.kept.get(clinic_id, []),
            received=None if self.received is None else self.received.get(clinic_id, {}),
        )


async def _check_all(conn: Connection, gathered: _Gathered) -> Verdict:
    verdict = Verdict(gathered.settled)
    same_key = gathered.same_key()
    leads_to = {ref: to for aliases in gathered.snapshot.aliases.values() for ref, (to, _) in aliases.items()}
    of_interest = {ref for refs in same_key for ref in refs} | set(leads_to.values())
    booked: set[str] = set()
    for portion in store.portions(gathered.clinics()):
        facts = {clinic.clinic_id: gathered.facts_of(clinic) for clinic in portion}
        await store.load(conn, facts)
        for each in facts.values():
            _check_clinic(verdict, each)
            booked |= of_interest & _booked(each)
    for offence in keys.check(same_key, leads_to, booked):
        verdict.add(offence)
    _count_sources(verdict, gathered)
    return verdict


def _check_clinic(verdict: Verdict, facts: ClinicFacts) -> None:
    for check in CHECKS:
        for offence in check(facts):
            verdict.add(offence)
    verdict.looked_at["clinics"] += 1
    verdict.looked_at["bookings"] += len(facts.rows)
    verdict.looked_at["bookings archived"] += sum(row.archived for row in facts.rows.values())
    verdict.looked_at["bookings decided"] += sum(row.state.decided for row in facts.rows.values())
    verdict.looked_at["events"] += len(facts.events)
    verdict.looked_at["seat claims"] += len(facts.claims)
    verdict.looked_at["doses claimed"] += sum(each.doses for each in facts.doses if each.lot is not None)
    verdict.looked_at["lots"] += len(facts.lots)
    verdict.looked_at["offers to who waits"] += len(facts.offers)
    verdict.looked_at["webhook deliveries"] += len(facts.deliveries)


def _booked(facts: ClinicFacts) -> set[str]:
    return {event.booking_ref for event in facts.events if event.event is EventType.ACCEPTED}


def _count_sources(verdict: Verdict, gathered: _Gathered) -> None:
    verdict.looked_at["records of booking.requests"] = gathered.log.records
    verdict.looked_at["of them appended too late to count"] = gathered.log.late
    verdict.looked_at["of them unreadable"] = gathered.log.unreadable
    if gathered.ledger is not None:
        verdict.looked_at["answers to callers"] = sum(map(len, gathered.ledger.by_clinic.values()))
    if gathered.kept is not None:
        verdict.looked_at["bookings in the clinics' own record"] = sum(map(len, gathered.kept.values()))
    if gathered.received is not None:
        verdict.looked_at["webhooks received"] = sum(map(len, gathered.received.values()))
