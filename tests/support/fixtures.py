"""Fixtures on top of the servers: databases, topics, clinics."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka.protocol import admin as protocol

from tests.stack import Kafka, Postgres
from tests.support import topics
from tests.support.database import Database, clone, template_for_tests
from tests.support.holding import Hold
from tests.support.waiting import Answers
from tests.support.world import settings_for
from waiting_room.store.pool import Pool, create_pool


@pytest.fixture(scope="session")
async def template(postgres_server: Postgres) -> AsyncIterator[Database]:
    """The migrated database that every test's own is cloned from."""
    async with template_for_tests(postgres_server) as database:
        yield database


@pytest.fixture
async def database(template: Database) -> AsyncIterator[Database]:
    """A migrated, empty database for one test."""
    async with clone(template) as database:
        yield database


@pytest.fixture
async def fresh_kafka(kafka: Kafka) -> Kafka:
    """The session's broker with our topics new and empty."""
    await topics.recreate(kafka)
    return kafka


@pytest.fixture
async def hold(database: Database) -> AsyncIterator[Hold]:
    """Hold, with its own login."""
    pool = await create_pool(settings_for(database, None, "hold"), "hold")
    yield Hold(pool)
    await pool.close()


@pytest.fixture
async def answers(database: Database) -> AsyncIterator[Answers]:
    """Whoever answers offers, with ingress's login."""
    pool = await create_pool(settings_for(database, None, "ingress"), "ingress")
    yield Answers(pool)
    await pool.close()


@pytest.fixture
async def sweeping(database: Database) -> AsyncIterator[Pool]:
    """With sweep's own login."""
    pool = await create_pool(settings_for(database, None, "sweep"), "sweep")
    yield pool
    await pool.close()


@pytest.fixture
def groups_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka reads the newest answer it can ask for as if it were the one before, and stumbles."""
    monkeypatch.setattr(protocol.DescribeGroupsRequest_v3, "RESPONSE_TYPE", protocol.DescribeGroupsResponse_v3)
