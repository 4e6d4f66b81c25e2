"""What the onboarding file says of products, doses, notice and limits reaches hold and every ingress."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.database import Database
from tests.support.onboarding import clinic, file_of
from waiting_room.domain.directory import Consumes
from waiting_room.onboarding import BadFile, Onboarding
from waiting_room.store import directory, holds

FLU = {"product": "flu", "name": "Flu"}
SHOT = {
    "service_type": "checkup",
    "duration_minutes": 20,
    "consumes": [{"product": "flu", "pool": "second"}],
    "cancel_notice_minutes": 60,
    "one_active": True,
    "interval_days": 28,
}


async def import_(database: Database, file: Onboarding) -> None:
    async with database.owner() as owner, owner.transaction():
        await directory.import_file(owner, file, 4)


async def rules_of(database: Database) -> holds.Rules:
    async with database.owner() as owner:
        return (await holds.load_rules(owner, ["0001"]))["0001"]


async def test_all_of_it_is_known_to_hold_and_published(database: Database) -> None:
    await import_(database, file_of([clinic(1, no_show_after_minutes=15)], services=(SHOT,), products=[FLU]))
    rules = await rules_of(database)
    service = rules.service_types["checkup"]
    assert service.consumes == (Consumes(product="flu", doses=1, pool="second"),)
    assert (service.one_active, service.interval_days, rules.cancel_notice("checkup").total_seconds()) == (
        True,
        28,
        3600,
    )
    async with database.owner() as owner:
        [known] = await directory.load(owner)
        assert await owner.fetchval("SELECT no_show_after_minutes FROM clinics") == 15
    assert known.service_types == (service,)

    plain = {"service_type": "checkup", "duration_minutes": 20}
    await import_(database, file_of([clinic(1)], services=(plain,), cancel_notice_minutes=120))
    again = await rules_of(database)
    assert again.version > rules.version
    assert again.service_types["checkup"].consumes == ()
    assert again.cancel_notice("checkup").total_seconds() == 7200


async def test_a_product_that_nobody_has_is_refused(database: Database) -> None:
    with pytest.raises(directory.Refused, match="service type checkup: unknown product flu"):
        await import_(database, file_of([clinic(1)], services=(SHOT,)))


@pytest.mark.parametrize(
    ("too", "complaint"),
    [
        ({"products": [FLU, FLU]}, "product 'flu' is there 2 times"),
        ({"services": ({**SHOT, "consumes": [{"product": "flu"}] * 2},)}, "names a product twice"),
        ({"services": ({**SHOT, "interval_after": "x-ray"},)}, "there is no service_type 'x-ray'"),
        ({"cancel_notice_minutes": -1}, "cancel_notice_minutes"),
    ],
)
def test_each_mistake_is_named(too: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint):
        file_of([clinic(1)], **too)
