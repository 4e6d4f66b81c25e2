"""The few numbers that say how patients fare, who waits and for what, from metrics and pulses. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ingress.line import Lines
from ingress.ops.samples import Window
from waiting_room.messages import ClinicPulse

CLINICS: Final = 20
ROLES: Final = ("ingress", "hold", "confirm", "relay", "webhooks", "notify", "sweep")
ACCEPT_SECONDS, ACCEPT_GOAL = "0.2", 0.999
DECIDED_GOAL = 0.99
OLDEST_WAIT_SECONDS, OUTBOX_SECONDS = 900.0, 30.0
MANY_DOWN, MANY_DOWN_SHARE = 5, 0.2
"""As the alert ManyClinicsDown has it."""
WHY: Final = ("worker", "clinic", "breaker", "parked")


class Slo(msgspec.Struct, frozen=True):
    """``good`` of all, or None where there were none; ``goal`` is the objective; seconds."""

    good: float | None
    goal: float
    p50: float | None
    p99: float | None


class ClinicNow(msgspec.Struct, frozen=True):
    clinic_id: str
    name: str
    line: int
    limit: int | None
    in_flight: int | None
    call_seconds: float | None
    down: bool
    why: str | None


class Essentials(msgspec.Struct, frozen=True, kw_only=True):
    accept: Slo
    decided: Slo
    accepted_a_minute: float | None
    undecided: int
    oldest_up_seconds: float
    oldest_down_seconds: float
    why: dict[str, int]
    clinics: list[ClinicNow]
    clinics_down: int
    workers_desired: int | None
    workers_running: int
    calls_in_flight: int
    calls_max: int
    roles: dict[str, int]
    refused: dict[str, float]
    faults: list[str]


def essentials(
    window: Window,
    lines: Lines,
    name_of: Callable[[str], str],
    silent: Sequence[str],
    accepted_a_minute: float | None,
) -> Essentials:
    """``name_of`` a clinic by its id; ``silent``: addresses that did not answer."""
    clinics = [
        _clinic(clinic_id, name_of(clinic_id), line, said) for clinic_id, line, said in lines.weightiest(CLINICS)
    ]
    state = window.by("state", "oldest_wait_seconds")
    most, needed = window.total("confirm_calls_max"), window.total("confirm_calls_needed")
    running = int(window.by("role", "ready").get("confirm", 0))
    calls_a_worker = most / running if running else 0.0
    return Essentials(
        accept=_accept(window),
        decided=_decided(window),
        accepted_a_minute=accepted_a_minute,
        undecided=round(window.total("undecided")),
        oldest_up_seconds=state.get("up", 0.0),
        oldest_down_seconds=state.get("down", 0.0),
        why={why: round(count) for why, count in window.by("why", "bookings_waiting").items() if why in WHY},
        clinics=clinics,
        clinics_down=round(window.total("breakers_open")),
        workers_desired=max(-(-int(needed) // int(calls_a_worker)), 1) if calls_a_worker >= 1 else None,
        workers_running=running,
        calls_in_flight=round(window.total("calls_in_flight")),
        calls_max=round(most),
        roles={role: int(window.by("role", "ready").get(role, 0)) for role in ROLES},
        refused={
            dict(series[1])["reason"]: grown
            for series in window.newest
            if series[0] == "waiting_room_refused_total" and (grown := window.grown(series))
        },
        faults=_faults(window, state, silent),
    )


def _clinic(clinic_id: str, name: str, line: int, said: ClinicPulse | None) -> ClinicNow:
    if said is None:
        return ClinicNow(clinic_id, name, line, None, None, None, down=False, why=None)
    return ClinicNow(
        clinic_id, name, line, said.limit, said.in_flight, said.call_seconds, down=said.breaker_open, why=said.why
    )


def _accept(window: Window) -> Slo:
    outcomes = ("accepted", "refused")
    good = sum(window.grew("accept_seconds_bucket", outcome=outcome, le=ACCEPT_SECONDS) for outcome in outcomes)
    asked = window.grew("accept_seconds_count") - window.grew("accept_seconds_count", outcome="invalid")
    p50, p99 = (window.quantile(q, "accept_seconds", outcome="accepted") for q in (0.5, 0.99))
    return Slo(good / asked if asked > 0 else None, ACCEPT_GOAL, p50, p99)


def _decided(window: Window) -> Slo:
    good, late = (window.grew("processed_total", outcome=outcome) for outcome in ("within", "later"))
    statuses = {
        dict(series[1])["status"] for series in window.newest if series[0] == "waiting_room_decide_seconds_count"
    }
    status = "confirmed" if "confirmed" in statuses else None
    p50, p99 = (window.quantile(q, "decide_seconds", status=status) if status else None for q in (0.5, 0.99))
    return Slo(good / (good + late) if good + late > 0 else None, DECIDED_GOAL, p50, p99)


def _faults(window: Window, oldest: Mapping[str, float], silent: Sequence[str]) -> list[str]:
    """What somebody should look at, in words; empty on a good day."""
    found = [f"{address} does not answer" for address in silent]
    ready = window.by("role", "ready")
    found += [f"{role}: none is ready" for role in ROLES if ready.get(role, 0) < 1]
    if oldest.get("up", 0.0) > OLDEST_WAIT_SECONDS:
        found.append("a booking has waited for more than 15 minutes at a clinic that is up")
    waiting = window.by("state", "clinics_waiting")
    if (down := waiting.get("down", 0.0)) > MANY_DOWN and down > MANY_DOWN_SHARE * sum(waiting.values()):
        found.append(f"{down:.0f} clinics with a line do not answer: more than a fifth")
    if (outbox := window.total("outbox_oldest_seconds")) > OUTBOX_SECONDS:
        found.append(f"the oldest event has waited {outbox:.0f} s to be published")
    if window.total("eligibility_away"):
        found.append("the eligibility system does not answer")
    if without := window.total("hot_tier_away"):
        found.append(f"{without:.0f} processes do without the hot tier, which does not answer")
    if put_aside := window.grew("dead_letters_total"):
        found.append(f"{put_aside:.0f} records were put aside")
    if refused := window.grew("refused_total", reason="not-accepting"):
        found.append(f"{refused:.0f} bookings refused because Kafka does not acknowledge")
    return found
