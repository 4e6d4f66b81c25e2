"""Servers and data that tests share; what they are is in `tests/stack.py`."""

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.stack import Kafka, Postgres, kafka_for_tests, postgres_for_tests, remove_server_folders

pytest_plugins = ["tests.support.fixtures"]

# How long an example takes, or is thought out, says how busy the machine is, and nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def server_folders() -> Iterator[None]:
    """Nothing of the servers' data stays on disk after the session."""
    remove_server_folders()
    yield
    remove_server_folders()


@pytest.fixture(scope="session")
async def kafka(server_folders: None) -> AsyncIterator[Kafka]:
    """One broker for all tests: name topics and groups so that tests do not meet."""
    async with kafka_for_tests() as server:
        yield server


@pytest.fixture(scope="session")
async def postgres_server(server_folders: None) -> AsyncIterator[Postgres]:
    """One server for all tests: each makes databases of its own."""
    async with postgres_for_tests() as server:
        yield server
