"""Doses: the first to expire goes first, pools are kept, and whoever goes short is the last to have booked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.directory import GENERAL_POOL, Consumes
from waiting_room.domain.stock import (
    Counted,
    FreeLot,
    Holder,
    LotKey,
    MovementKind,
    Need,
    Portion,
    Shelf,
    pools_for,
    resettle,
)
from waiting_room.domain.stocktake import MOST, CountedLot, Lot, NotInStock, Stocktake, TooMany

TODAY = date(2026, 11, 27)
FLU = Consumes(product="flu")


def day(number: int) -> date:
    return TODAY + timedelta(days=number)


def shelf(*lots: tuple[str, str, int, int]) -> Shelf:
    """(pool, lot, expires in days, free)."""
    found = Shelf()
    for pool, lot, expires, free in lots:
        found.add("flu", FreeLot(pool, lot, day(expires), free))
    return found


def lot_of(portions: tuple[Portion, ...] | None) -> str | None:
    return portions[0].lot if portions else None


def test_the_first_to_expire_goes_first_but_none_that_expires_before_the_day() -> None:
    stock = shelf((GENERAL_POOL, "late", 30, 2), (GENERAL_POOL, "soon", 5, 2))
    assert lot_of(stock.take([FLU], day(6))) == "late"
    assert [lot_of(stock.take([FLU], day(5))) for _ in range(4)] == ["soon", "soon", "late", None]


def test_to_look_whether_it_is_there_takes_nothing() -> None:
    stock = shelf((GENERAL_POOL, "soon", 5, 1), (GENERAL_POOL, "late", 30, 1))
    twice = [FLU, Consumes(product="flu")]
    for _ in range(3):
        assert stock.has([FLU], day(5))
        assert stock.has(twice, day(5))
        assert not stock.has(twice, day(6))
        assert not stock.has([Consumes(product="flu", doses=2)], day(5))
        assert not stock.has([FLU], day(31))
    assert stock.take(twice, day(5)) is not None
    assert not stock.has([FLU], day(5))


def test_a_dose_that_expires_too_soon_is_exchanged_for_that_of_who_can_do_with_it() -> None:
    def portion(pool: str, lot: str, doses: int = 1, asked: str = GENERAL_POOL) -> Portion:
        return Portion("flu", pool, lot, doses, asked)

    def shelves() -> Shelf:
        return shelf((GENERAL_POOL, "soon", 5, 0), (GENERAL_POOL, "late", 30, 0), ("second", "later", 60, 0))

    had = portion(GENERAL_POOL, "soon")
    late, later = portion(GENERAL_POOL, "late"), portion("second", "later", asked="second")
    assert shelves().exchange(had, day(31), [Holder("b", day(2), late)]) is None, "it expires, too"
    assert shelves().exchange(had, day(9), [Holder("b", day(6), late)]) is None, "they come when ours has expired"
    assert shelves().exchange(had, day(9), [Holder("b", day(2), later)]) is None, "that pool is not for us"
    assert shelves().exchange(had, day(9), [Holder("b", day(2), portion(GENERAL_POOL, "late", 2))]) is None, (
        "they need two"
    )
    for_second = portion(GENERAL_POOL, "soon", asked="second")
    holders = [Holder("c", day(2), later), Holder("b", day(2), late)]
    assert shelves().exchange(had, day(9), holders) == (late, Holder("b", day(2), late), had)
    assert shelves().exchange(for_second, day(9), holders) == (
        portion("second", "later", asked="second"),
        holders[0],
        portion(GENERAL_POOL, "soon", asked="second"),
    ), "its own pool goes first"
    assert shelves().expire_before([had, late], day(6)) == {"flu"}
    assert shelves().expire_before([had, late], day(5)) == set()


def test_a_pool_is_for_those_who_name_it_and_then_they_take_from_the_general_one() -> None:
    second = Consumes(product="flu", pool="second")
    stock = shelf((GENERAL_POOL, "a", 9, 1), ("second", "b", 9, 1), ("third", "c", 9, 1))
    assert [lot_of(stock.take([second], TODAY)) for _ in range(3)] == ["b", "a", None]
    stock = shelf(("second", "b", 9, 1))
    assert stock.take([FLU], TODAY) is None


def test_all_that_is_consumed_is_there_or_nothing_is_taken() -> None:
    stock = shelf((GENERAL_POOL, "a", 9, 1))
    both = [FLU, Consumes(product="covid")]
    assert stock.take(both, TODAY) is None
    stock.add("covid", FreeLot(GENERAL_POOL, "x", day(9), 2))
    portions = stock.take(both, TODAY)
    assert portions is not None
    assert [each.product for each in portions] == ["flu", "covid"]
    assert stock.take([FLU], TODAY) is None
    stock.give_back(portions)
    assert lot_of(stock.take([FLU], TODAY)) == "a"


def test_doses_of_one_booking_are_of_one_lot() -> None:
    stock = shelf((GENERAL_POOL, "a", 5, 1), (GENERAL_POOL, "b", 9, 2))
    assert lot_of(stock.take([Consumes(product="flu", doses=2)], TODAY)) == "b"


def need(ticket: int, served_from: LotKey | None, *, on: int = 0, doses: int = 1, pool: str = GENERAL_POOL) -> Need:
    return Need(f"booking {ticket}", (1, ticket), day(on), doses, pool, served_from)


A, B = (GENERAL_POOL, "a"), (GENERAL_POOL, "b")


def test_the_last_to_have_booked_goes_short() -> None:
    needs = [need(ticket, A) for ticket in (3, 1, 2)]
    changed = resettle({A: Counted(day(9), 2)}, needs)
    assert [(each.rank[1], each.served_from) for each in changed] == [(3, None)]


def test_who_lost_a_dose_gets_that_of_the_last_wherever_it_is() -> None:
    needs = [need(1, A), need(2, B), need(3, B)]
    changed = resettle({A: Counted(day(9), 0), B: Counted(day(9), 2)}, needs)
    assert {each.rank[1]: each.served_from for each in changed} == {1: B, 3: None}


def test_who_lost_a_dose_is_served_from_what_is_free_and_nobody_else_is_touched() -> None:
    needs = [need(1, A), need(2, A)]
    changed = resettle({A: Counted(day(9), 1), B: Counted(day(9), 5)}, needs)
    assert {each.rank[1]: each.served_from for each in changed} == {2: B}


def test_stock_that_comes_serves_the_first_of_the_short() -> None:
    needs = [need(1, A), need(5, None), need(4, None)]
    changed = resettle({A: Counted(day(9), 2)}, needs)
    assert [each.rank[1] for each in changed] == [4]


lots_strategy = st.dictionaries(
    st.tuples(st.sampled_from([GENERAL_POOL, "second"]), st.sampled_from("abc")),
    st.builds(Counted, expires_on=st.integers(0, 4).map(day), on_hand=st.integers(0, 6)),
    max_size=5,
)


@given(lots_strategy, st.data())
def test_whatever_is_found_nothing_is_oversold_and_nobody_is_short_behind_a_later_booking(
    lots: dict[LotKey, Counted], data: st.DataObject
) -> None:
    keys = [None, *sorted(lots)]
    needs = [
        need(
            ticket,
            data.draw(st.sampled_from(keys)),
            on=data.draw(st.integers(0, 4)),
            pool=data.draw(st.sampled_from([GENERAL_POOL, "second"])),
        )
        for ticket in range(data.draw(st.integers(0, 12)))
    ]
    for each in needs:  # nobody was served from a pool that is not for them
        if each.served_from is not None and each.served_from[0] not in pools_for(each.asked_pool):
            each.served_from = None
    before = {each.booking_ref: each.served_from for each in needs}
    changed = resettle(lots, needs)
    assert {each.booking_ref for each in changed} == {
        each.booking_ref for each in needs if each.served_from != before[each.booking_ref]
    }
    for key, lot in lots.items():
        there = [each for each in needs if each.served_from == key]
        assert sum(each.doses for each in there) <= lot.on_hand
        assert all(each.day <= lot.expires_on and key[0] in pools_for(each.asked_pool) for each in there)
        for short in (each for each in needs if each.served_from is None):
            if key[0] in pools_for(short.asked_pool) and short.day <= lot.expires_on:
                assert sum(each.doses for each in there) == lot.on_hand
                assert all(each.order < short.order for each in there)


def take_of(on_hand: int, *needs: Need) -> Stocktake:
    reserved = sum(each.doses for each in needs if each.served_from == A)
    return Stocktake({A: Lot(day(9), on_hand=on_hand, reserved=reserved)}, list(needs))


def balanced(take: Stocktake, before: dict[LotKey, Lot]) -> bool:
    """Whether the movements lead from one to the other."""
    for key, lot in take.lots.items():
        mine = [each for each in take.movements if (each.pool, each.lot) == key]
        was = before.get(key, Lot(lot.expires_on))
        for figure in ("on_hand", "reserved", "administered", "wasted"):
            if getattr(lot, figure) != getattr(was, figure) + sum(getattr(each, figure) for each in mine):
                return False
        if not 0 <= lot.reserved <= lot.on_hand:
            return False
    return True


def test_a_recount_finds_less_and_the_last_is_short() -> None:
    take = take_of(3, need(1, A), need(2, A), need(3, A))
    take.count([CountedLot(*A, day(9), 2)])
    assert [each.booking_ref for each in take.settle()] == ["booking 3"]
    assert [(each.kind, each.on_hand, each.reserved) for each in take.movements] == [
        (MovementKind.RECOUNTED, -1, 0),
        (MovementKind.RELEASED, 0, -1),
    ]
    assert balanced(take, {A: Lot(day(9), 3, 3)})


def test_what_is_counted_is_all_there_is() -> None:
    take = take_of(3, need(1, A))
    take.count([CountedLot(*B, day(20), 4)])
    [moved] = take.settle()
    assert moved.served_from == B
    assert (take.lots[A].on_hand, take.lots[B].on_hand, take.lots[B].reserved) == (0, 4, 1)
    assert balanced(take, {A: Lot(day(9), 3, 1)})


def test_another_lot_is_given_and_the_one_that_was_reserved_comes_free() -> None:
    take = Stocktake({A: Lot(day(9), 1, 1), B: Lot(day(9), 1, 1)}, [need(1, A), need(2, B)])
    take.release("booking 1")
    take.give(B, 1, "booking 1", {}, counted=False)
    [moved] = take.settle()
    assert (moved.booking_ref, moved.served_from) == ("booking 2", A)
    assert take.lots[B].administered == 1
    assert balanced(take, {A: Lot(day(9), 1, 1), B: Lot(day(9), 1, 1)})


def test_what_was_given_is_corrected_and_what_somebody_counted_since_is_left_as_it_is() -> None:
    def taken(on_hand: int) -> Stocktake:
        return Stocktake({A: Lot(day(9), 4, administered=1), B: Lot(day(9), on_hand)}, [])

    take = taken(3)
    take.give(B, 1, "booking 1", {A: 1}, counted=False)
    assert take.lots == {A: Lot(day(9), 5), B: Lot(day(9), 2, administered=1)}
    assert balanced(take, taken(3).lots)
    take = taken(0)  # its last one was used up, and that was counted
    take.give(B, 1, "booking 1", {A: 1}, counted=True)
    assert take.lots == {A: Lot(day(9), 4), B: Lot(day(9), 0, administered=1)}
    assert balanced(take, taken(0).lots)
    with pytest.raises(NotInStock, match="not 1"):
        taken(0).give(B, 1, "booking 1", {A: 1}, counted=False)
    with pytest.raises(NotInStock, match="no lot none"):
        taken(0).give((GENERAL_POOL, "none"), 1, "booking 1", {A: 1}, counted=True)


def test_a_broken_vial_and_a_transfer() -> None:
    take = take_of(5)
    take.waste(A, 2)
    take.transfer(A, "second", 1)
    take.receive(B, day(30), 7)
    take.settle()
    assert (take.lots[A].on_hand, take.lots[A].wasted) == (2, 2)
    assert take.lots["second", "a"].on_hand == 1
    assert balanced(take, {A: Lot(day(9), 5)})
    with pytest.raises(NotInStock, match="not 3"):
        take.waste(A, 3)
    with pytest.raises(NotInStock, match="no lot none"):
        take.waste((GENERAL_POOL, "none"), 1)
    with pytest.raises(NotInStock, match="expires"):
        take.receive(A, day(10), 1)


def test_a_lot_has_no_more_than_its_figures_can_say_whatever_becomes_of_it() -> None:
    """Nor could it be used up: what is gone is a figure, too."""
    full, beside = (GENERAL_POOL, "full"), ("second", "full")
    enters: tuple[Callable[[Stocktake], None], ...] = (
        lambda take: take.receive(full, day(30), 1),
        lambda take: take.count([CountedLot(*full, day(30), 101)]),
        lambda take: take.transfer(full, beside[0], 6),
    )
    for enter in enters:
        lots = {
            full: Lot(day(30), on_hand=100, administered=MOST - 300, wasted=200),
            beside: Lot(day(30), on_hand=10, administered=MOST - 15),
        }
        with pytest.raises(TooMany, match=str(MOST)):
            enter(Stocktake(lots, []))
    take = Stocktake({full: Lot(day(30), on_hand=100, administered=MOST - 300, wasted=200)}, [])
    take.administer(full, 40)
    take.waste(full, 40)
    take.transfer(full, beside[0], 5)
    take.receive(full, day(30), 5)
    assert take.lots[full] == Lot(day(30), on_hand=20, administered=MOST - 260, wasted=240)
    take = Stocktake({}, [])
    with pytest.raises(TooMany) as told:
        take.receive(full, day(30), MOST + 1)
    assert (told.value.key, told.value.room) == (full, MOST)
