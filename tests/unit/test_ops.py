"""What /ops makes of metrics pages and pulses."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.registry import Collector

from dashboards.catalogue import known
from ingress.line import Lines
from ingress.ops import essentials as ops
from ingress.ops.essentials import Essentials, essentials
from ingress.ops.samples import WINDOW_SECONDS, Window, key, quantile, read, together
from waiting_room.messages import ClinicPulse, Pulse
from waiting_room.telemetry import metrics

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
READY = "".join(
    f'waiting_room_ready{{role="{role}"}} 1.0\n'
    for role in ("ingress", "hold", "confirm", "relay", "webhooks", "notify", "sweep")
)


def told(page: str, earlier: str = "", lines: Lines | None = None, silent: tuple[str, ...] = ()) -> Essentials:
    window = Window()
    if earlier:
        window.add(0.0, read(earlier))
    window.add(WINDOW_SECONDS, read(page))
    return essentials(window, lines or Lines(), lambda clinic_id: {"0001": "North"}.get(clinic_id, ""), silent, None)


def accepts(in_time: float, late: float, none: float) -> str:
    return (
        f'waiting_room_accept_seconds_bucket{{le="0.2",outcome="accepted"}} {in_time}\n'
        f'waiting_room_accept_seconds_bucket{{le="0.5",outcome="accepted"}} {in_time + late}\n'
        f'waiting_room_accept_seconds_bucket{{le="+Inf",outcome="accepted"}} {in_time + late}\n'
        f'waiting_room_accept_seconds_count{{outcome="accepted"}} {in_time + late}\n'
        f'waiting_room_accept_seconds_count{{outcome="none"}} {none}\n'
        'waiting_room_accept_seconds_count{outcome="invalid"} 500.0\n'
    )


def test_it_reads_what_prometheus_client_writes() -> None:
    metrics.REFUSED.labels("busy").inc(0)
    families = list(REGISTRY.collect())  # once: some are of the moment they are asked at
    asked_once = SimpleNamespace(collect=lambda: families)
    samples = read(generate_latest(cast(Collector, asked_once)).decode())
    for family in families:
        for sample in family.samples:
            if sample.name.startswith("waiting_room_"):
                assert samples[sample.name, frozenset(sample.labels.items())] == sample.value, sample
    assert read("process_cpu_seconds_total 3\nwaiting_room_broken{ x\nwaiting_room_ok 2") == {key("ok"): 2}


def test_the_slo_counts_late_answers_and_503_but_not_bad_requests() -> None:
    slo = told(accepts(98, 1, 1)).accept
    assert slo.good == pytest.approx(0.98)
    assert slo.p99 == pytest.approx(0.2 + 0.3 * 0.01 / 1, abs=0.01)
    assert told("").accept.good is None


def test_it_is_about_the_last_five_minutes_once_it_has_seen_them() -> None:
    assert told(accepts(198, 1, 1), earlier=accepts(98, 1, 1)).accept.good == 1.0


def test_a_counter_that_began_anew_counts_from_nothing() -> None:
    window = Window()
    window.add(0.0, read("waiting_room_published_total 900"))
    window.add(WINDOW_SECONDS, read("waiting_room_published_total 30"))
    assert window.grown(key("published_total")) == 30


def test_what_all_say_of_the_same_is_taken_once() -> None:
    page = read('waiting_room_undecided{state="up"} 7\nwaiting_room_calls_in_flight 2')
    assert together([page, page]) == {key("undecided", state="up"): 7, key("calls_in_flight"): 4}


def test_quantiles_are_prometheuss_own() -> None:
    inf = float("inf")
    assert quantile(0.5, {1: 30, 2: 60, inf: 60}) == 1
    assert quantile(0.99, {1: 30, 2: 60, inf: 60}) == pytest.approx(1.98)
    assert quantile(0.99, {1: 1, inf: 100}) == 1
    assert quantile(0.5, {1: 0, inf: 0}) is None
    assert quantile(0.5, {}) is None


def test_faults_are_said_in_words() -> None:
    calm = told(READY + 'waiting_room_oldest_wait_seconds{state="down"} 5000')
    assert calm.faults == []
    few = READY + 'waiting_room_clinics_waiting{state="down"} 6\nwaiting_room_clinics_waiting{state="up"} 24'
    assert told(few).faults == []
    page = READY.replace('role="relay"} 1.0', 'role="relay"} 0.0')
    page += 'waiting_room_oldest_wait_seconds{state="up"} 901\nwaiting_room_outbox_oldest_seconds 45\n'
    page += 'waiting_room_dead_letters_total{topic="booking.requests"} 2\n'
    page += 'waiting_room_clinics_waiting{state="down"} 6\nwaiting_room_clinics_waiting{state="up"} 20\n'
    page += "waiting_room_eligibility_away 1\nwaiting_room_hot_tier_away 2\n"
    assert told(page, silent=("http://127.0.0.1:9/metrics",)).faults == [
        "http://127.0.0.1:9/metrics does not answer",
        "relay: none is ready",
        "a booking has waited for more than 15 minutes at a clinic that is up",
        "6 clinics with a line do not answer: more than a fifth",
        "the oldest event has waited 45 s to be published",
        "the eligibility system does not answer",
        "2 processes do without the hot tier, which does not answer",
        "2 records were put aside",
    ]


def test_what_it_asks_for_is_told_of() -> None:
    """A metric that is renamed would read as nothing here, and look like a good day."""
    tree = ast.parse(Path(ops.__file__).read_text())
    asked = {
        f"waiting_room_{argument.value}"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("by", "grew", "quantile", "total")
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    labels = {"waiting_room_state", "waiting_room_role", "waiting_room_why"}
    names = {series for metric in known() for series in metric.series} | {metric.name for metric in known()}
    assert len(asked - labels) > 10
    assert asked - labels <= names
    for written in re.findall(r'"(waiting_room_\w+)"', ast.unparse(tree).replace("'", '"')):
        assert written in names


def test_workers_desired_are_those_that_carry_the_calls_needed() -> None:
    page = 'waiting_room_ready{role="confirm"} 2\nwaiting_room_confirm_calls_max 1000\n'
    assert told(page + "waiting_room_confirm_calls_needed 1100\n").workers_desired == 3
    assert told(page + "waiting_room_confirm_calls_needed 0\n").workers_desired == 1
    assert told("").workers_desired is None


def test_clinics_that_are_down_come_before_longer_lines() -> None:
    lines = Lines()
    pulse = Pulse(
        worker_id="w",
        at=NOW,
        clinics={
            "0001": ClinicPulse(
                seq=2, line=3, limit=4, in_flight=1, call_seconds=1.5, breaker_open=True, why="breaker"
            ),
            "0002": ClinicPulse(seq=2, line=90, limit=4, in_flight=4, call_seconds=1.0, why="clinic"),
            "0003": ClinicPulse(seq=2, line=0, limit=4, in_flight=0, call_seconds=1.0),
        },
    )
    lines.apply("w", pulse)
    lines.apply("h", Pulse(worker_id="h", at=NOW, clinics={"0002": ClinicPulse(seq=5, line=95)}))
    clinics = told("", lines=lines).clinics
    assert [(each.clinic_id, each.line, each.down, each.why) for each in clinics] == [
        ("0001", 3, True, "breaker"),
        ("0002", 95, False, "clinic"),
    ]
    assert clinics[0].name == "North"
