"""What ingress keeps of what it was asked grows only so far, whatever it is asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from ingress import access, calendars
from ingress.access import Keys
from ingress.calendars import LENGTHS_MAX, Ask
from tests.support.ingress import key_for
from waiting_room.access import OwnerKind
from waiting_room.domain.directory import AdapterKind, ClinicStatus, Provider, ServiceType
from waiting_room.domain.slots import DayTaken
from waiting_room.messages import encode
from waiting_room.store.holds import Rules

DAY = date(2026, 11, 26)
MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)
RULES = Rules(
    clinic_id="0001",
    version=1,
    status=ClinicStatus.OPEN,
    timezone="UTC",
    adapter=AdapterKind.BUILTIN,
    partition=0,
    moving_to=None,
    service_types={},
    providers={"p": Provider(provider_id="p", name="P", capacity=1, service_types=(), hours=())},
    business_id="demo",
    cancel_notice_minutes=0,
    good_until=MIDNIGHT,
    bookable_until=MIDNIGHT,
)


def test_a_day_is_kept_reckoned_for_few_lengths() -> None:
    day = calendars._Day(MIDNIGHT, MIDNIGHT + timedelta(days=1), DayTaken("p"), frozenset(), 0.0)
    copies = {"0001": calendars._Copy(RULES, 0, 0, {("p", DAY): day})}
    for minutes in range(1, 1_441):
        ask = Ask("0001", "p", ServiceType(service_type="", duration_minutes=minutes), DAY)
        calendars._slots(ask, day, copies)
        assert (minutes, 0) in day.slots
        assert len(day.slots) <= LENGTHS_MAX


def test_a_header_of_any_length_proves_its_key_and_only_a_short_one_is_kept() -> None:
    keys = Keys()
    token, key = key_for(OwnerKind.APP, "app-1")
    keys.apply(key.key_id, encode(key))
    for spaces in range(1, 2_000, 100):
        found = keys.authenticate(b"Bearer" + b" " * spaces + str(token).encode(), MIDNIGHT)
        assert msgspec.structs.asdict(found) == msgspec.structs.asdict(key)
    assert max(map(len, keys._proven)) <= access._PROVEN_BYTES
