"""The ledger balances to the dose, and claims on lots are there exactly for bookings that keep one.

Adds up for itself and does not trust the database's CHECKs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from waiting_room.audit.facts import ClinicFacts, Doses, Figures, Row
from waiting_room.audit.offences import Kind, Offence
from waiting_room.domain.appointment import WANTS_SEAT

_NOTHING = Figures(0, 0, 0, 0)


def check(facts: ClinicFacts) -> Iterator[Offence]:
    yield from _lots(facts)
    doses_of: dict[str, list[Doses]] = {}
    for each in facts.doses:
        doses_of.setdefault(each.booking_ref, []).append(each)
    for ref, row in facts.rows.items():
        yield from _booking(facts, row, doses_of.pop(ref, []))
    for ref in doses_of:
        yield Offence(Kind.DOSE_KEPT, facts.clinic_id, ref, "claims a dose and has no row")
    for ref in () if facts.elsewhere.bookings else facts.dosed.keys() - facts.rows.keys():
        yield Offence(Kind.STOCK_LEDGER, facts.clinic_id, ref, "has moved doses and has no row")


def _lots(facts: ClinicFacts) -> Iterator[Offence]:
    claimed: Counter[tuple[str, str, str]] = Counter()
    for each in facts.doses:
        if each.lot is not None:
            claimed[each.lot] += each.doses
    for name in sorted(facts.lots.keys() | facts.moved.keys() | claimed.keys()):
        lot, moved = facts.lots.get(name), facts.moved.get(name, _NOTHING)
        wrong = None
        if lot is None:
            wrong = "has movements or claims, and there is no such lot"
        elif lot != moved:
            wrong = f"is {_words(lot)}, and its movements add up to {_words(moved)}"
        elif min(lot) < 0 or lot.reserved > lot.on_hand:
            wrong = f"is oversold: {_words(lot)}"
        elif lot.reserved != claimed[name]:
            wrong = f"has {lot.reserved} doses reserved, and bookings claim {claimed[name]}"
        if wrong is not None:
            yield Offence(Kind.STOCK_LEDGER, facts.clinic_id, None, f"lot {'/'.join(name)} {wrong}")


def _words(figures: Figures) -> str:
    return ", ".join(f"{count} {name}" for name, count in figures._asdict().items())


def _booking(facts: ClinicFacts, row: Row, mine: list[Doses]) -> Iterator[Offence]:
    def offence(kind: Kind, what: str) -> Offence:
        return Offence(kind, facts.clinic_id, row.booking_ref, what)

    claimed = sum(each.doses for each in mine if each.lot is not None)
    reserved, _ = facts.dosed.get(row.booking_ref, (0, 0))
    if reserved != claimed:
        yield offence(Kind.STOCK_LEDGER, f"claims {claimed} doses, and its movements say {reserved}")
    if not row.state.keeps_doses:
        if mine:
            yield offence(Kind.DOSE_KEPT, f"is {row.state.status} and still claims {mine[0].product}")
        return
    # Who has cancelled and waits for the clinic to take note may lose the dose to those who come, and so may who was to
    # have come before that.
    over = row.end_at is not None and row.end_at < facts.now
    needed = row.doses if row.state.status in WANTS_SEAT and not over else claimed
    has = sum(each.doses for each in mine)
    if has != needed:
        yield offence(Kind.DOSE_MISSING, f"is {row.state.status}, was given {row.doses} doses and has {has}")
