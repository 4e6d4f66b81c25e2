"""What a role takes for an absence, to be waited out, and what it dies of."""

from __future__ import annotations

import pytest
from aiokafka.errors import InvalidTopicError, KafkaConnectionError, KafkaError, KafkaTimeoutError, ProducerClosed

from tests.support.world import settings_for
from waiting_room.envelope import CannotOpen, UnknownMasterKey
from waiting_room.kafka import FetcherDied, Producer
from waiting_room.supervise import TaskDied
from workers.startup import is_absence


def died_of(error: BaseException) -> TaskDied:
    died = TaskDied("hold loop")
    died.__cause__ = error
    return died


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        KafkaConnectionError(),
        KafkaTimeoutError(),
        ProducerClosed(),
        FetcherDied(),
        UnknownMasterKey(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_comes_back_is_waited_for(error: Exception) -> None:
    assert is_absence(died_of(error))


@pytest.mark.parametrize("error", [ValueError(), InvalidTopicError(), CannotOpen()])
def test_what_does_not_is_died_of(error: Exception) -> None:
    assert not is_absence(died_of(error))


async def test_a_producer_that_is_being_replaced_comes_back() -> None:
    """Hold died of it where it put a record aside while Kafka was restarted."""
    with pytest.raises(KafkaError) as raised:
        await Producer(settings_for(None, None)).send("topic", 0, None, b"")
    assert is_absence(died_of(raised.value))
