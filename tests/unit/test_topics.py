"""The list of topics says of each what the rest of the system relies on."""

from __future__ import annotations

import re

import pytest
from prometheus_client import REGISTRY

from waiting_room import topics
from waiting_room.topics import TOPICS, Topic, dead_letters_of, events_partition
from workers.confirm import intake

BY_NAME = {topic.name: topic for topic in TOPICS}


def test_names_are_unique_and_none_meets_another_in_a_metric() -> None:
    """Kafka folds dots and underscores into one in metric names."""
    assert len({topic.name.replace(".", "_") for topic in TOPICS}) == len(TOPICS)


def test_topics_that_one_worker_must_own_together_have_the_same_partitions() -> None:
    together = {topics.BOOKING_REQUESTS, topics.CLINIC_CONFIRMATIONS, topics.CLINIC_CONFIRMATIONS_PRIORITY}
    assert {topic.name for topic in TOPICS if topic.per_clinic} == together
    assert {BY_NAME[name].partition_count(512) for name in together} == {512}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_has_a_key_partitions_and_a_retention(topic: Topic) -> None:
    assert topic.key
    assert topic.partition_count(24) >= 1
    assert "retention.ms" in topic.config or topic.config["cleanup.policy"] == "compact"
    assert all(isinstance(value, str) for value in topic.config.values())


def test_only_the_broker_says_when_a_command_was_appended() -> None:
    stamped = [topic.name for topic in TOPICS if topic.config.get("message.timestamp.type") == "LogAppendTime"]
    assert stamped == [topics.BOOKING_REQUESTS]


def test_what_is_rebuilt_from_its_topic_is_never_deleted_there() -> None:
    compacted = {topic.name for topic in TOPICS if topic.config.get("cleanup.policy") == "compact"}
    assert compacted == {topics.CLINIC_DIRECTORY, topics.ACCESS_KEYS}


def test_what_workers_said_is_kept_for_days_although_they_come_and_go() -> None:
    pulse = BY_NAME[topics.CLINIC_PULSE].config
    assert pulse["cleanup.policy"] == "compact,delete"
    assert int(pulse["retention.ms"]) == 7 * 86_400_000


def test_confirmations_outlive_requests_and_dead_letters_outlive_all() -> None:
    def days(name: str) -> int:
        return int(BY_NAME[name].config["retention.ms"]) // 86_400_000

    assert days(topics.CLINIC_CONFIRMATIONS) >= days(topics.BOOKING_REQUESTS) == 7
    assert days(topics.BOOKING_EVENTS) == 30
    assert {days(name) for name in BY_NAME if name.endswith(".dlq")} == {90}


def test_what_is_read_as_a_stream_has_dead_letters() -> None:
    for source in (*intake.TOPICS, topics.BOOKING_REQUESTS, topics.BOOKING_EVENTS):
        assert BY_NAME[dead_letters_of(source)].partitions
        told = {"topic": source}
        assert REGISTRY.get_sample_value("waiting_room_dead_letters_total", told) is not None, "or the first is no news"
    assert dead_letters_of(topics.BOOKING_REQUESTS) == "booking.requests.dlq"


def test_all_events_of_a_clinic_go_to_one_partition_that_exists() -> None:
    for clinic_partition in range(512):
        assert events_partition(clinic_partition, 48) in range(48)


def test_names_are_lawful_in_kafka() -> None:
    assert all(re.fullmatch(r"[a-z.]{1,200}", name) for name in BY_NAME)
