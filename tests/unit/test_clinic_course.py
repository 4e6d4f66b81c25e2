"""What becomes of a call to a simulated clinic."""

import math
import statistics
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.clinics.behaviour import ClinicBehaviour, Outage, Spec
from loadtest.clinics.course import AT_ONCE, Course, Dice, Fate, decide

draw = st.floats(0, 1, exclude_max=True)


def course(behaviour: ClinicBehaviour, *, in_flight: int = 0, now: float = 0.0, luck: float = 0.99) -> Course:
    return decide(behaviour, in_flight, now, (luck, 0.5))


@given(
    behaviour=st.builds(
        ClinicBehaviour,
        slow_factor=st.floats(0.1, 100),
        overload=st.sampled_from(["reject", "slow", "both"]),
        late_rate=st.floats(0, 0.5),
        drop_rate=st.floats(0, 0.5),
        late_after=st.floats(0, 1000),
        processing_limit=st.floats(0.1, 60),
        time_scale=st.floats(0.01, 2),
        instant=st.booleans(),
    ),
    in_flight=st.integers(0, 100),
    draws=st.tuples(draw, draw),
)
def test_nothing_takes_effect_after_the_processing_limit(
    behaviour: ClinicBehaviour, in_flight: int, draws: tuple[float, float]
) -> None:
    decided = decide(behaviour, in_flight, 0.0, draws)
    assert 0 <= decided.after_seconds <= behaviour.processing_limit * behaviour.time_scale


@given(seed=st.integers(), others=st.integers(0, 50))
def test_a_call_draws_the_same_for_the_same_seed_and_clinic(seed: int, others: int) -> None:
    first, second, other = Dice(seed, "000A"), Dice(seed, "000A"), Dice(seed, "000B")
    assert [first.throw() for _ in range(others)] == [second.throw() for _ in range(others)]
    assert first.throw() == second.throw() != other.throw()


def test_latency_has_the_mean_it_was_given_and_stays_in_its_bounds() -> None:
    behaviour = ClinicBehaviour(latency_mean=1.7, latency_min=0.2, latency_max=8.0)
    dice = Dice(1, "000A")
    seconds = [decide(behaviour, 0, 0.0, dice.throw()).after_seconds for _ in range(4000)]
    assert statistics.fmean(seconds) == pytest.approx(1.7, rel=0.02)
    assert min(seconds) >= 0.2
    assert max(seconds) <= 8.0


@pytest.mark.parametrize(("field", "value", "factor"), [("slow_factor", 10.0, 10.0), ("time_scale", 0.1, 0.1)])
def test_latency_scales(field: str, value: float, factor: float) -> None:
    plain = ClinicBehaviour(processing_limit=1000)
    scaled = plain.patched({field: value})
    assert course(scaled).after_seconds == pytest.approx(course(plain).after_seconds * factor)


def test_rates_share_the_calls() -> None:
    behaviour = ClinicBehaviour(
        hang_rate=0.1, error_rate=0.1, refuse_rate=0.1, drop_rate=0.1, late_rate=0.1, late_after=25
    )
    fates = [course(behaviour, luck=share / 10 + 0.05).fate for share in range(10)]
    assert fates == [Fate.HUNG, Fate.ERROR, Fate.REFUSED, Fate.DROPPED, Fate.LATE, *[Fate.OK] * 5]
    late = course(behaviour, luck=0.45)
    assert (late.after_seconds, late.admitted) == (25, True)
    assert course(behaviour, luck=0.0) == Course(Fate.HUNG, math.inf)


@pytest.mark.parametrize(
    ("overload", "fates"),
    [
        ("reject", [Fate.OK, Fate.OVERLOADED, Fate.OVERLOADED]),
        ("slow", [Fate.OK, Fate.OK, Fate.OK]),
        ("both", [Fate.OK, Fate.OK, Fate.OVERLOADED]),
    ],
)
def test_overload_begins_beyond_capacity(overload: Any, fates: list[Fate]) -> None:
    behaviour = ClinicBehaviour(capacity=4, overload=overload)
    assert [course(behaviour, in_flight=n).fate for n in (3, 4, 8)] == fates


def test_a_slow_clinic_slows_in_proportion_to_its_load() -> None:
    behaviour = ClinicBehaviour(capacity=4, overload="slow", processing_limit=1000)
    alone = course(behaviour).after_seconds
    assert course(behaviour, in_flight=3).after_seconds == alone
    assert course(behaviour, in_flight=11).after_seconds == pytest.approx(3 * alone)


def test_a_hanging_clinic_hangs_even_when_full() -> None:
    assert course(ClinicBehaviour(capacity=1, hang_rate=1.0), in_flight=5).fate is Fate.HUNG


def test_outages_hold_within_their_seconds_and_forced_ones_until_cleared() -> None:
    outages = (Outage(10, 20, "hang"), Outage(20, None, "503"))
    behaviour = ClinicBehaviour(outages=outages)
    seen = [course(behaviour, now=now).fate for now in (9.9, 10, 19.9, 20, 1e6)]
    assert seen == [Fate.OK, Fate.HUNG, Fate.HUNG, Fate.DOWN, Fate.DOWN]
    assert course(behaviour.patched({"down": "refuse_connection"}), now=10).fate is Fate.CUT
    assert course(behaviour.patched({"time_scale": 0.1}), now=1.5).fate is Fate.HUNG


def test_an_instant_clinic_takes_no_time_but_keeps_its_faults() -> None:
    behaviour = ClinicBehaviour(instant=True, drop_rate=0.5)
    assert course(behaviour) == Course(Fate.OK, 0.0)
    assert course(behaviour, luck=0.2) == Course(Fate.DROPPED, 0.0)


@pytest.mark.parametrize(
    "spec",
    [
        '{"clinics": {"000A": {"capacity": 0}}}',
        '{"clinics": {"000A": {"hang_rate": 0.6, "late_rate": 0.6}}}',
        '{"clinics": {"000A": {"latency_min": 3, "latency_max": 2}}}',
        '{"clinics": {"000A": {"capacitty": 3}}}',
        '{"clinics": {"000I": {}}}',
        '{"clinics": {"000A": {"outages": [{"from_second": 1, "to_second": 2, "kind": "sulk"}]}}}',
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(spec: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(spec, type=Spec)


def test_patching_checks_as_strictly() -> None:
    with pytest.raises(msgspec.ValidationError):
        ClinicBehaviour().patched({"hang_rate": 2})
    assert ClinicBehaviour().patched({"capacity": 9}) == ClinicBehaviour(capacity=9)


@given(
    behaviour=st.builds(
        ClinicBehaviour,
        instant=st.booleans(),
        hang_rate=st.sampled_from([0, 0.1]),
        drop_rate=st.sampled_from([0, 0.1]),
        down=st.sampled_from([None, "hang"]),
        outages=st.sampled_from([(), (Outage(5, 6, "503"),)]),
    ),
    now=st.floats(0, 10),
    draws=st.tuples(draw, draw),
)
def test_what_is_always_at_once_need_not_be_decided(
    behaviour: ClinicBehaviour, now: float, draws: tuple[float, float]
) -> None:
    if behaviour.always_at_once:
        assert decide(behaviour, 0, now, draws) == AT_ONCE
    else:
        faults = behaviour.hang_rate + behaviour.drop_rate
        assert not behaviour.instant or faults or behaviour.down or behaviour.outages
