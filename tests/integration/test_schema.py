"""The schema itself: what it refuses whoever asks."""

from __future__ import annotations

import asyncpg
import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.world import clinics, seed


async def test_append_only(database: Database, fresh_kafka: Kafka) -> None:
    async with database.owner() as owner:
        await seed(owner, clinics(2))
        await owner.execute(
            "INSERT INTO appointment_events VALUES ('0001', 1, '0001-X', 'booking.accepted', now(), '{}')"
        )
        for statement in (
            "UPDATE appointment_events SET event = 'booking.held'",
            "DELETE FROM appointment_events",
            "TRUNCATE appointment_events",
        ):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await owner.execute(statement)
