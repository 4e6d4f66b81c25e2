"""The line of a clinic, merged from what many workers saw, and how long it may take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ingress.line import FRESH_SECONDS, Lines
from waiting_room.domain.directory import AdapterKind, Clinic, ClinicStatus, Eligibility, ServiceType
from waiting_room.messages import ClinicPulse, Pulse

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def clinic(adapter: AdapterKind = AdapterKind.REST, clinic_id: str = "0001", partition: int = 3) -> Clinic:
    return Clinic(
        clinic_id=clinic_id,
        business_id="b",
        name="A clinic",
        adapter=adapter,
        status=ClinicStatus.OPEN,
        timezone="UTC",
        partition=partition,
        map_version=1,
        wait_ceiling_seconds=1_800,
        service_types=(),
        providers=(),
    )


def hold(seq: int, line: int, held: int, at: datetime = NOW, worker: str = "hold") -> Pulse:
    return Pulse(worker_id=worker, at=at, clinics={"0001": ClinicPulse(seq=seq, line=line)}, held_offsets={3: held})


def confirm(seq: int, line: int, at: datetime = NOW, **pace: object) -> Pulse:
    values = {"limit": 4, "call_seconds": 2.0, "call_sigma_seconds": 0.5, **pace}
    return Pulse(worker_id="confirm", at=at, clinics={"0001": ClinicPulse(seq=seq, line=line, **values)})  # type: ignore[arg-type]


def lines_of(*pulses: Pulse) -> Lines:
    lines = Lines()
    for pulse in pulses:
        lines.apply(pulse.worker_id, pulse)
    return lines


@given(st.permutations([hold(10, 5, 100), confirm(14, 3), hold(12, 4, 90, NOW - timedelta(seconds=1), "old")]))
def test_the_order_of_arrival_does_not_matter(pulses: list[Pulse]) -> None:
    lines = lines_of(*pulses)
    assert lines.line("0001") == 3
    assert lines.seq("0001") == 14
    held = lines.held(3)
    assert held is not None
    assert (held.worker_id, held.next_offset) == ("hold", 100)


def test_place_is_what_is_not_held_before_it_plus_the_line_plus_one() -> None:
    lines = lines_of(hold(10, 5, 100))
    assert lines.place(clinic(), 100) == 6
    assert lines.place(clinic(), 107) == 13
    assert lines.place(clinic(), 90) == 6
    assert lines.place(clinic(partition=9), 100) is None


def test_what_was_held_since_the_pulse_is_not_counted_twice() -> None:
    """Ten more were held and three decided after hold's pulse; another worker has seen it, hold has not said yet."""
    lines = lines_of(hold(10, 5, 100), confirm(23, 12))
    assert lines.place(clinic(), 112) == 12 + 5 + 1


@given(
    line=st.integers(0, 50),
    held_since=st.integers(0, 50),
    decided_share=st.floats(0, 1),
    unheld=st.integers(0, 50),
    seen=st.booleans(),
)
def test_place_is_never_less_than_the_truth(
    line: int, held_since: int, decided_share: float, unheld: int, seen: bool
) -> None:
    """Whatever was held and decided after hold's pulse, and whether or not another worker has told of it."""
    decided = int((line + held_since) * decided_share)
    truth = unheld + line + held_since - decided + 1
    pulses = [hold(100, line, 1_000)]
    if seen:
        pulses.append(confirm(100 + held_since + decided, line + held_since - decided))
    place = lines_of(*pulses).place(clinic(), 1_000 + held_since + unheld)
    assert place is not None
    assert place >= truth


def test_next_place_and_unheld_follow_what_was_appended() -> None:
    lines = lines_of(hold(10, 5, 100))
    assert (lines.next_place(clinic()), lines.unheld(3)) == (6, 0)
    lines.saw_appended(3, 109)
    lines.saw_appended(3, 104)
    assert (lines.next_place(clinic()), lines.unheld(3)) == (16, 10)
    assert lines.unheld(9) == 0


def test_a_worker_that_leaves_takes_only_its_own_view_along() -> None:
    lines = lines_of(hold(10, 5, 100), confirm(12, 3))
    lines.apply("hold", None)
    assert lines.place(clinic(), 100) == 4
    lines.apply("nobody", None)


def test_after_a_restore_the_lower_offset_counts() -> None:
    lines = lines_of(hold(10, 5, 100), hold(3, 2, 40, NOW + timedelta(seconds=5)))
    held = lines.held(3)
    assert held is not None
    assert (held.next_offset, held.per_second) == (40, None)


def test_how_fast_a_partition_is_held_is_told_from_two_pulses() -> None:
    held = lines_of(hold(10, 5, 100), hold(20, 5, 600, NOW + timedelta(seconds=2))).held(3)
    assert held is not None
    assert held.per_second == 250


def test_eta_needs_a_fresh_pace_and_a_clinic_that_answers() -> None:
    place = 9
    assert lines_of(hold(1, 0, 0)).eta(clinic(), place, NOW) is None
    assert lines_of(confirm(1, 0)).eta(clinic(), None, NOW) is None
    assert lines_of(confirm(1, 0, breaker_open=True)).eta(clinic(), place, NOW) is None
    late = NOW + timedelta(seconds=FRESH_SECONDS + 1)
    assert lines_of(confirm(1, 0)).eta(clinic(), place, late) is None
    assert lines_of(confirm(1, 0)).eta(clinic(), place, NOW) is not None


def test_the_newest_pace_counts_whoever_told_it() -> None:
    lines = lines_of(confirm(9, 0, NOW, limit=8), confirm(2, 0, NOW - timedelta(seconds=3), limit=1))
    pace = lines.pace("0001")
    assert pace is not None
    assert pace.limit == 8


def test_a_limit_that_is_searched_does_not_make_the_eta_jump() -> None:
    later = [
        confirm(1, 0, NOW + timedelta(seconds=n), limit=limit) for n, limit in enumerate((4, 8, 16, 5, 5, 5, 5, 5))
    ]
    lines, seen = Lines(), []
    for pulse in later:
        lines.apply(pulse.worker_id, pulse)
        pace = lines.pace("0001")
        assert pace is not None
        seen.append(pace.limit)
    assert seen[0] == 4
    assert max(seen) < 9
    assert abs(seen[-1] - 5) < 1
    long_after = confirm(1, 0, NOW + timedelta(hours=1), limit=2)
    lines.apply(long_after.worker_id, long_after)
    pace = lines.pace("0001")
    assert pace is not None
    assert pace.limit == 2


def test_at_a_builtin_clinic_hold_decides() -> None:
    builtin = clinic(AdapterKind.BUILTIN)
    eta = lines_of(hold(1, 0, 0)).eta(builtin, 1, NOW)
    assert eta is not None
    assert eta.p90 <= 1.5
    assert lines_of(hold(1, 0, 0)).eta(builtin, 1, NOW + timedelta(minutes=1)) is None
    assert lines_of(confirm(1, 0)).eta(builtin, 1, NOW) is None


def test_nobody_can_tell_how_long_it_takes_while_the_eligibility_system_is_away() -> None:
    asking = clinic()
    services = tuple(
        ServiceType(service_type=asks.value, duration_minutes=30, eligibility=asks) for asks in Eligibility
    )
    asking = replace(asking, service_types=services)
    away = replace(confirm(1, 0), eligibility_away=True)

    def told(lines: Lines, now: datetime = NOW) -> list[bool]:
        return [lines.eta(asking, 9, now, each.service_type) is not None for each in services]

    assert told(lines_of(confirm(1, 0))) == [True, True, True]
    assert told(lines_of(away)) == [True, True, False], "where it fails open nobody waits"
    assert lines_of(away).eta(asking, 9, NOW) is not None, "it is verified already"
    assert told(lines_of(away, replace(confirm(2, 0), at=NOW + timedelta(seconds=1)))) == [True, True, True]
    gone = lines_of(away)
    gone.apply(away.worker_id, None)
    assert told(gone) == [True, True, True]


@given(
    place=st.integers(1, 5_000),
    limit=st.integers(1, 50),
    call=st.floats(0.05, 30),
    sigma=st.floats(0, 30),
)
def test_eta_is_a_range_that_grows_with_place(place: int, limit: int, call: float, sigma: float) -> None:
    lines = lines_of(confirm(1, 0, limit=limit, call_seconds=call, call_sigma_seconds=sigma))
    eta, behind = lines.eta(clinic(), place, NOW), lines.eta(clinic(), place + 1, NOW)
    assert eta is not None
    assert behind is not None
    assert 0 <= eta.p50 <= eta.p90
    assert eta.p50 <= behind.p50
    assert eta.p90 <= behind.p90
