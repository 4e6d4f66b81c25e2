"""The hot tier: what it saves, that it never makes an answer wrong, and that losing it costs nothing but time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from ingress.calendars import Ask, Calendars
from tests.stack import Kafka
from tests.support.calendars import put_busy
from tests.support.database import Database
from tests.support.hot_tier import Scene, newcomers, two_and_one
from tests.support.ingress import Answer, Caller, wish
from tests.support.log import until
from tests.support.world import SERVICE, ClinicSpec, clinics, tomorrow
from tests.support.written import CONFIRMED, HELD, plant
from waiting_room.domain.directory import ServiceType
from waiting_room.domain.slots import SlotStatus
from waiting_room.taken_marks import key_of

SPECS = [*clinics(10), *clinics(11, capacity=2)[10:], *clinics(12, providers=2)[11:]]
TWO_SEATS, TWO_PROVIDERS = SPECS[10:]
CONSULTATION = ServiceType(service_type=SERVICE, duration_minutes=30)


@pytest.fixture(scope="module")
async def scene(kafka: Kafka, template: Database) -> AsyncIterator[Scene]:
    async with two_and_one(kafka, template, SPECS) as scene:
        yield scene


async def refused_at_once(scene: Scene, app: Caller, spec: ClinicSpec, **changes: Any) -> tuple[Answer, str]:
    """What is told whoever comes too late, and the key of it. On any doubt they are accepted, and rejected by hold."""
    async with asyncio.timeout(30):
        while True:
            key = str(uuid4())
            answer = await scene.book(app, spec, key, **changes)
            if answer.problem == "slot-taken":
                return answer, key
            assert answer.body["reason"] == "slot_taken", answer.body


async def test_a_taken_time_is_refused_at_once_and_others_are_offered(scene: Scene) -> None:
    spec = SPECS[0]
    assert (await scene.book(scene.one, spec)).status == 201
    await scene.marked(spec.provider_id)
    lost, key = await refused_at_once(scene, scene.other, spec)
    assert (lost.status, lost.body["outcome"], lost.body["reason"]) == (409, "none", "slot_taken")
    starts = [datetime.fromisoformat(each["start_at"]) for each in lost.body["alternatives"]]
    assert len(starts) == 3
    assert tomorrow() not in starts
    taken_else = await scene.other.book(key, wish(spec.provider_id, start_at=starts[0]))
    assert taken_else.status == 202  # the key made no booking and may be used


async def test_without_a_hot_tier_it_is_accepted_and_rejected_later(scene: Scene) -> None:
    spec = SPECS[1]
    assert (await scene.book(scene.one, spec)).status == 201
    await scene.marked(spec.provider_id)
    assert (await scene.without.book("late", wish(spec.provider_id))).status == 202
    lost = await scene.book(scene.without, spec)
    assert (lost.status, lost.problem, lost.body["reason"]) == (409, "not-booked", "slot_taken")


async def test_whoever_has_it_is_never_refused_because_of_that(scene: Scene) -> None:
    spec = SPECS[2]
    won = await scene.book(scene.one, spec, "winner")
    await scene.marked(spec.provider_id)
    for app in (scene.one, scene.other):
        again = await app.book("winner", wish(spec.provider_id))
        assert (again.status, again.body["booking_ref"]) == (202, won.body["booking_ref"])


async def test_a_time_that_came_free_is_booked_although_it_is_marked(scene: Scene) -> None:
    spec = SPECS[3]
    won = await scene.book(scene.one, spec)
    await scene.marked(spec.provider_id)
    await scene.one.cancel(won.body["booking_ref"], str(uuid4()))

    async def cancelled() -> bool:
        return bool((await scene.one.get(won.headers["Location"])).body["status"] == "cancelled")

    await until(cancelled)
    assert (await scene.book(scene.other, spec)).status == 201
    await scene.mark(SPECS[4].provider_id)  # where nobody has booked
    assert (await scene.book(scene.one, SPECS[4])).status == 201


async def test_a_hold_that_ran_out_is_in_nobodys_way(scene: Scene) -> None:
    spec = SPECS[5]
    async with scene.stage.database.owner() as owner:
        await plant(owner, spec, 18, HELD, hold_until=datetime.now(UTC) - timedelta(minutes=1))
    await scene.mark(spec.provider_id)
    assert (await scene.book(scene.one, spec)).status == 201


async def test_a_held_time_is_taken_before_its_clinic_has_decided(scene: Scene) -> None:
    spec = SPECS[6]
    async with scene.stage.database.owner() as owner:
        await plant(owner, spec, 18, HELD)
    await scene.mark(spec.provider_id)
    await refused_at_once(scene, scene.one, spec)
    await put_busy(scene.stage.database, spec, 11)
    await scene.mark(spec.provider_id, tomorrow(11))
    await refused_at_once(scene, scene.one, spec, start_at=tomorrow(11))


async def test_every_seat_counts_and_every_provider(scene: Scene) -> None:
    for _ in range(2):
        assert not await scene.valkey.keys(key_of((TWO_SEATS.provider_id, tomorrow())))
        assert (await scene.book(scene.one, TWO_SEATS)).status == 201
    await scene.marked(TWO_SEATS.provider_id)
    await refused_at_once(scene, scene.other, TWO_SEATS)
    anybody = {"provider_id": None, "clinic_id": TWO_PROVIDERS.clinic_id}
    for number in (1, 2):
        assert (await scene.book(scene.one, TWO_PROVIDERS, **anybody)).status == 201
        await scene.marked(f"{TWO_PROVIDERS.clinic_id}-{number}")
    await refused_at_once(scene, scene.other, TWO_PROVIDERS, **anybody)


def days(outcome: str) -> float:
    return REGISTRY.get_sample_value("waiting_room_slot_days_total", {"outcome": outcome}) or 0.0


def asked() -> float:
    return REGISTRY.get_sample_value("waiting_room_slots_seconds_count") or 0.0


async def status_at(calendars: Calendars, spec: ClinicSpec, hour: int) -> SlotStatus:
    ask = Ask(spec.clinic_id, spec.provider_id, CONSULTATION, tomorrow().date())
    [found] = (await calendars.ask([spec.clinic_id], [ask])).days
    return next(slot.status for slot in found if slot.start_at == tomorrow(hour))


async def test_a_day_that_one_has_read_serves_all_until_it_is_touched(scene: Scene) -> None:
    spec = SPECS[7]
    async with newcomers(scene) as fresh, scene.stage.database.owner() as owner:

        async def seen(hour: int) -> tuple[SlotStatus, str]:
            """How that hour stands, and where the day was had from."""
            before = days("shared")
            status = await status_at(next(fresh), spec, hour)
            return status, "shared" if days("shared") > before else "read"

        async def lent() -> None:
            """It is written beside the answer."""

            async def shared() -> bool:
                return (await seen(23))[1] == "shared"

            await until(shared)

        assert await seen(9) == (SlotStatus.FREE, "read")
        await lent()
        await plant(owner, spec, 18, CONFIRMED)
        assert await seen(9) == (SlotStatus.BUSY, "read")
        await lent()
        await plant(owner, spec, 20, CONFIRMED, start_at=tomorrow() + timedelta(days=1))  # in another day's way
        assert await seen(9) == (SlotStatus.BUSY, "shared")
        await put_busy(scene.stage.database, spec, 12)
        assert await seen(12) == (SlotStatus.BUSY, "read")
        await lent()
        assert await seen(12) == (SlotStatus.BUSY, "shared")
        looked = asked()
        assert spec.clinic_id in (await next(fresh).rules([spec.clinic_id])).rules
        assert asked() == looked, "nobody has asked what is free"


async def test_losing_it_again_and_again_costs_nothing_but_time(scene: Scene) -> None:
    """Frozen, thawed, killed and started anew while patients look and book: every answer stays right."""
    specs, chance = SPECS[8:10], random.Random(7)
    taken: set[tuple[str, datetime]] = set()
    refused: set[tuple[str, datetime]] = set()
    statuses: set[int] = set()
    over = asyncio.Event()

    async def booker(app: Caller) -> None:
        while not over.is_set():
            spec, start_at = chance.choice(specs), tomorrow(0) + chance.randrange(46) * timedelta(minutes=30)
            answer = await scene.book(app, spec, start_at=start_at)
            statuses.add(answer.status)
            if answer.status == 201:
                assert (spec.provider_id, start_at) not in taken
                taken.add((spec.provider_id, start_at))
            elif answer.problem == "slot-taken":
                refused.add((spec.provider_id, start_at))

    async def reader(app: Caller) -> None:
        """Sees nothing free that was decided before it asked."""
        while not over.is_set():
            spec = chance.choice(specs)
            decided = {start_at for provider_id, start_at in taken if provider_id == spec.provider_id}
            query = {"service": SERVICE, "from": tomorrow(0).isoformat(), "limit": "60"}
            answer = await app.get(f"/v1/providers/{spec.provider_id}/slots", params=query)
            assert answer.status == 200, answer.body
            found = {datetime.fromisoformat(each["start_at"]): each["status"] for each in answer.body["slots"]}
            assert not {at for at in decided if found[at] == "free"}

    async def newcomer(fresh: Iterator[Calendars]) -> None:
        """The same, with nothing but what others have lent."""
        while not over.is_set():
            spec = chance.choice(specs)
            decided = {start_at for provider_id, start_at in taken if provider_id == spec.provider_id}
            ask = Ask(spec.clinic_id, spec.provider_id, CONSULTATION, tomorrow().date())
            [found] = (await next(fresh).ask([spec.clinic_id], [ask])).days
            assert not {slot.start_at for slot in found if slot.status is SlotStatus.FREE} & decided

    async def hurt() -> None:
        await asyncio.sleep(0.5)
        scene.valkey.freeze()
        await asyncio.sleep(1.2)
        scene.valkey.thaw()
        await asyncio.sleep(0.5)
        await scene.valkey.kill()
        await asyncio.sleep(0.7)
        await scene.valkey.start()
        await asyncio.sleep(0.7)
        over.set()

    apps = [scene.one, scene.other]
    async with newcomers(scene, within_seconds=0.01) as fresh, asyncio.TaskGroup() as group:
        for app in apps * 2:
            group.create_task(booker(app))
        for app in apps:
            group.create_task(reader(app))
        group.create_task(newcomer(fresh))
        group.create_task(hurt())
    assert statuses == {201, 409}
    assert refused <= taken, "somebody was refused a time that nobody has"
    assert sum([await scene.claims(spec) for spec in specs]) == len(taken)
    await scene.in_use()


async def test_what_is_not_held_yet_makes_nobody_sure(scene: Scene) -> None:
    """Last: hold stops. A cancel that was accepted frees the seat when it is held; so nobody is refused meanwhile."""
    spec = SPECS[0]
    await scene.mark(spec.provider_id)
    await refused_at_once(scene, scene.other, spec)
    await scene.hold.aclose()
    first = await scene.one.book("in-line", wish(spec.provider_id, start_at=tomorrow(20)))
    assert first.status == 202
    late = await scene.other.book("maybe", wish(spec.provider_id))
    assert late.status == 202
    again = await scene.one.book("maybe", wish(spec.provider_id))
    assert (again.status, again.body["booking_ref"]) == (202, late.body["booking_ref"])
