"""What can be booked at all: every impossible wish has its own problem, which says what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress import problems
from ingress.body import read
from ingress.directory import Directory
from ingress.refusal import Refused
from ingress.wanted import when, where
from waiting_room.domain.directory import (
    AdapterKind,
    Clinic,
    ClinicStatus,
    Hours,
    Provider,
    ServiceType,
)
from waiting_room.domain.schedule import slot_starts
from waiting_room.messages import DirectoryEntry, TimeRange, encode

NOW = datetime(2026, 3, 2, 8, 17, tzinfo=UTC)  # a Monday
AHEAD_MAX_DAYS = 30
MORNINGS = tuple(Hours(weekday=day, opens=time(9), closes=time(12), slot_minutes=20) for day in range(1, 6))
SHOT = ServiceType(service_type="shot", duration_minutes=20)
SCAN = ServiceType(service_type="scan", duration_minutes=60)


def provider(provider_id: str, *services: str) -> Provider:
    return Provider(provider_id=provider_id, name=provider_id, capacity=1, service_types=services, hours=MORNINGS)


def clinic(clinic_id: str, *providers: Provider, status: ClinicStatus = ClinicStatus.OPEN) -> Clinic:
    return Clinic(
        clinic_id=clinic_id,
        business_id="b",
        name=f"Clinic {clinic_id}",
        adapter=AdapterKind.REST,
        status=status,
        timezone="Europe/Berlin",
        partition=0,
        map_version=1,
        wait_ceiling_seconds=1_800,
        service_types=(SHOT, SCAN),
        providers=providers,
    )


def directory() -> Directory:
    made = Directory()
    for each in (
        clinic("0001", provider("anna", "shot"), provider("ben", "shot", "scan")),
        clinic("0002", provider("carl", "shot"), status=ClinicStatus.CLOSED),
    ):
        made.apply(each.clinic_id, encode(DirectoryEntry(clinic=each)))
    return made


DIRECTORY = directory()


def ask(**changes: Any) -> tuple[datetime | None, TimeRange | None]:
    """Tomorrow at nine in Berlin with anna; a change to None leaves the field out."""
    body = {
        "service_type": "shot",
        "patient": {"id": "p"},
        "provider_id": "anna",
        "start_at": "2026-03-03T08:00:00Z",
        **changes,
    }
    return wish(json.dumps({name: value for name, value in body.items() if value is not None}).encode())


def wish(raw: bytes) -> tuple[datetime | None, TimeRange | None]:
    request = read(raw)
    return when(request, where(request, DIRECTORY), NOW, AHEAD_MAX_DAYS)


def refused(**changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(**changes)
    return caught.value


def test_a_start_on_the_grid() -> None:
    assert ask() == (datetime(2026, 3, 3, 8, tzinfo=UTC), None)
    assert ask(start_at="2026-03-03T09:00:00+01:00") == ask()
    assert ask(clinic_id="0001") == ask()
    assert ask(provider_id=None, clinic_id="0001") == ask()


def test_a_range_is_cut_to_what_lies_ahead() -> None:
    start, span = ask(start_at=None, range={"from": "2026-03-01T00:00:00Z", "to": "2026-03-04T00:00:00Z"})
    assert start is None
    assert span == TimeRange(NOW, datetime(2026, 3, 4, tzinfo=UTC))


def in_range(from_at: str, to_at: str) -> dict[str, Any]:
    return {"start_at": None, "range": {"from": from_at, "to": to_at}}


@pytest.mark.parametrize(
    ("changes", "kind", "pointer"),
    [
        ({"start_at": None}, problems.START_OR_RANGE, ""),
        ({"range": {"from": "2026-03-03T00:00:00Z", "to": "2026-03-04T00:00:00Z"}}, problems.START_OR_RANGE, ""),
        ({"provider_id": None}, problems.PROVIDER_OR_CLINIC, ""),
        ({"provider_id": "nobody"}, problems.UNKNOWN_PROVIDER, "/provider_id"),
        ({"provider_id": None, "clinic_id": "0009"}, problems.UNKNOWN_CLINIC, "/clinic_id"),
        ({"clinic_id": "0002"}, problems.PROVIDER_ELSEWHERE, "/clinic_id"),
        ({"service_type": "haircut"}, problems.UNKNOWN_SERVICE, "/service_type"),
        ({"service_type": "scan"}, problems.SERVICE_NOT_OFFERED, "/service_type"),
        ({"provider_id": None, "clinic_id": "0002", "service_type": "scan"}, problems.SERVICE_NOT_OFFERED, None),
        ({"provider_id": "carl"}, problems.CLINIC_CLOSED, None),
        ({"start_at": "2026-03-02T08:00:00Z"}, problems.START_IN_PAST, "/start_at"),
        ({"start_at": "0001-01-01T00:00:00+02:00"}, problems.START_IN_PAST, "/start_at"),
        ({"start_at": "9999-12-31T23:59:59-02:00"}, problems.TOO_FAR_AHEAD, "/start_at"),
        ({"start_at": "2026-05-05T07:00:00Z"}, problems.TOO_FAR_AHEAD, "/start_at"),
        ({"start_at": "2026-03-03T08:10:00Z"}, problems.START_NOT_OFFERED, "/start_at"),
        (in_range("2026-03-04T00:00:00Z", "2026-03-04T00:00:00Z"), problems.RANGE_EMPTY, "/range"),
        (in_range("2026-03-04T00:00:00Z", "2026-03-03T00:00:00Z"), problems.RANGE_EMPTY, "/range"),
        (in_range("2026-03-04T00:00:00Z", "2026-04-24T00:00:00Z"), problems.RANGE_TOO_LONG, "/range"),
        (in_range("2026-03-01T00:00:00Z", "2026-03-02T08:00:00Z"), problems.START_IN_PAST, "/range/to"),
        (in_range("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"), problems.TOO_FAR_AHEAD, "/range/from"),
        (in_range("2026-03-07T00:00:00Z", "2026-03-09T00:00:00Z"), problems.START_NOT_OFFERED, "/range"),
    ],
)
def test_every_impossible_wish_has_its_problem(
    changes: dict[str, Any], kind: problems.ProblemType, pointer: str | None
) -> None:
    refusal = refused(**changes)
    assert refusal.kind is kind
    told = json.loads(refusal.body)
    assert told["next_step"]
    if pointer is not None and kind is not problems.CLINIC_CLOSED:
        (error,) = told["errors"]
        assert error["pointer"] == pointer
        assert error["fix"]


def test_a_start_off_the_grid_names_the_nearest() -> None:
    (error,) = refused(start_at="2026-03-03T08:10:00Z").errors
    assert "2026-03-03T08:00:00Z, 2026-03-03T08:20:00Z" in error.fix
    (weekend,) = refused(start_at="2026-03-07T10:00:00Z").errors
    assert "2026-03-06T10:40:00Z" in weekend.fix


@given(st.integers(0, 49 * 24 * 60), st.sampled_from((1, 20)), st.integers(-14, 14))
def test_exactly_the_providers_starts_can_be_booked(minutes: int, step: int, hours_off: int) -> None:
    """Whatever zone the caller writes the time in, over the change to summer time as well."""
    midnight = datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=hours_off)))
    at = midnight + timedelta(minutes=minutes // step * step)
    anna = provider("anna", "shot")
    offered = at in set(slot_starts(anna, SHOT, "Europe/Berlin", at - timedelta(days=1), at + timedelta(days=1)))
    possible = offered and NOW < at <= NOW + timedelta(days=AHEAD_MAX_DAYS)
    try:
        start, _ = ask(start_at=at.isoformat())
    except Refused:
        assert not possible
    else:
        assert possible
        assert start == at


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("service_type", "patient", "provider_id", "clinic_id", "start_at", "range", "extra")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON)
def test_whatever_the_body_is_the_answer_is_a_problem(body: Any) -> None:
    raw = msgspec.json.encode(body)
    with pytest.raises(Refused) as caught:
        wish(raw)
    assert 400 <= caught.value.kind.status < 500
    json.loads(caught.value.body)


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_the_answer_is_a_problem(raw: bytes) -> None:
    with pytest.raises(Refused):
        read(raw)


@pytest.mark.parametrize(
    ("patient", "pointer"),
    [
        ({"id": ""}, "/patient/id"),
        ({"id": "with space"}, "/patient/id"),
        ({"id": "line\n"}, "/patient/id"),
        ({"id": 3}, "/patient/id"),
        ({}, "/patient/id"),
        ({"id": "p", "name": "Anna"}, "/patient/name"),
        ({"id": "p", "contact": {"email": "a\u0000b"}}, "/patient/contact"),
        ({"id": "p", "contact": {"email": "a\n"}}, "/patient/contact"),
        ({"id": "p", "contact": {"E-Mail": "a"}}, "/patient/contact"),
        ({"id": "p", "contact": {f"c{'x' * n}": "a" for n in range(9)}}, "/patient/contact"),
        ({"id": "p", "locale": "a b"}, "/patient/locale"),
    ],
)
def test_what_is_wrong_with_a_patient_is_pointed_at(patient: dict[str, Any], pointer: str) -> None:
    (error,) = refused(patient=patient).errors
    assert error.pointer == pointer


def test_a_clinic_that_changes_or_goes_takes_its_providers_along() -> None:
    changing = directory()
    changed = clinic("0001", provider("dora", "shot"))
    changing.apply("0001", encode(DirectoryEntry(clinic=changed)))
    assert changing.of_provider("anna") is None
    assert changing.of_provider("dora") is changing.clinic("0001")
    changing.apply("0001", b"not a record")
    assert changing.of_provider("dora") is not None
    changing.apply("0001", None)
    assert changing.of_provider("dora") is changing.clinic("0001") is None
    assert [site.clinic.clinic_id for site in changing.all()] == ["0002"]
