"""The bookings a load run posts."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.bookings import Mix, Stack, StackClinic, bookings, mix_from
from loadtest.send import Request

NOW = datetime(2026, 11, 27, 15, tzinfo=UTC)  # a Friday
STACK = Stack(
    (
        StackClinic("000A", ("a1", "a2"), ("flu",)),
        StackClinic("000B", ("b1",), ("flu", "covid")),
        StackClinic("000C", ("c1",), ("covid",)),
    )
)


def made(count: int, mix: Mix | None = None, seed: int = 1) -> list[Request]:
    return list(itertools.islice(bookings(STACK, "app-key", mix or mix_from(NOW), seed), count))


def body(request: Request) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


@given(seed=st.integers(), contested=st.floats(0, 1), repeated=st.floats(0, 0.9))
def test_every_booking_is_one_the_clinic_offers_under_its_own_key(seed: int, contested: float, repeated: float) -> None:
    by_id = {clinic.id: clinic for clinic in STACK.clinics}
    requests = made(60, mix_from(NOW, contested, repeated), seed)
    assert requests == made(60, mix_from(NOW, contested, repeated), seed)
    for request in requests:
        asked, clinic = body(request), by_id[request.clinic_id]
        assert asked["provider_id"] in clinic.provider_ids
        assert asked["service_type"] in clinic.service_types
        assert ("range" in asked) != ("start_at" in asked)
        assert request.headers["Idempotency-Key"] == request.idempotency_key
        assert request.headers["Authorization"] == "Bearer app-key"
    bodies_by_key = {request.idempotency_key: request.body for request in requests}
    assert all(request.body == bodies_by_key[request.idempotency_key] for request in requests)
    patients = [msgspec.json.decode(b)["patient"]["id"] for b in bodies_by_key.values()]
    assert len(set(patients)) == len(patients), "a new key is a new patient"


def test_bookings_spread_over_clinics_and_providers() -> None:
    requests = made(3000)
    clinics = Counter(request.clinic_id for request in requests)
    providers = Counter(body(request)["provider_id"] for request in requests)
    assert all(clinics[id] == pytest.approx(1000, abs=120) for id in ("000A", "000B", "000C"))
    assert set(providers) == {"a1", "a2", "b1", "c1"}


def test_a_range_starts_tomorrow() -> None:
    wanted = body(made(1)[0])["range"]
    assert wanted == {"from": "2026-11-28T00:00:00Z", "to": "2026-12-12T00:00:00Z"}


def test_a_share_contests_few_slots_on_a_weekday() -> None:
    starts = Counter(body(r).get("start_at") for r in made(2000, mix_from(NOW, contested_share=0.3)))
    free = starts.pop(None)
    assert free == pytest.approx(1400, abs=90)
    assert set(starts) == {f"2026-11-30T10:{minute:02}:00Z" for minute in (0, 15, 30, 45)}


def test_a_share_is_sent_again() -> None:
    requests = made(2000, mix_from(NOW, repeat_share=0.2))
    assert len({r.idempotency_key for r in requests}) == pytest.approx(1600, abs=80)


@pytest.mark.parametrize(
    ("day", "contested_day"),
    [(23, 24), (26, 27), (27, 30), (28, 30), (29, 30)],
)
def test_contested_days_are_working_days(day: int, contested_day: int) -> None:
    mix = mix_from(datetime(2026, 11, day, 23, 59, tzinfo=UTC))
    assert mix.contested_from == datetime(2026, 11, contested_day, 10, tzinfo=UTC)
    assert mix.range_from <= mix.contested_from < mix.range_from + timedelta(days=mix.range_days)
