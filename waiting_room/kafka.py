"""Clients of Kafka, made from Settings: the durable producer, and consumers in a group."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, ProducerClosed, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from waiting_room import kafka_connections
from waiting_room.settings import Settings

kafka_connections.mend()
log = structlog.get_logger(__name__)
Header = tuple[str, bytes]
Headers = Sequence[Header]

REQUEST_TIMEOUT_MS = 5_000
AGAIN_SECONDS = 0.5
START_SECONDS = 30.0
"""No consumer takes so long to start while there is a broker; one whose broker is away says so itself, sooner."""
STOP_SECONDS = REQUEST_TIMEOUT_MS / 1_000
FEW_PARTITIONS, FEW_PARTITIONS_WAIT_MS, MANY_PARTITIONS_WAIT_MS = 64, 50, 250


def connection(settings: Settings) -> dict[str, Any]:
    """How to reach the brokers, as aiokafka's keyword arguments."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
        if settings.kafka_ssl_certfile:
            context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
        options["ssl_context"] = context
    if settings.kafka_security_protocol.startswith("SASL") and settings.kafka_sasl_password:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


class NoProducer(KafkaError):  # type: ignore[misc]
    """Nothing was handed over: the one there was is being replaced."""

    retriable = True


class FetcherDied(KafkaError):  # type: ignore[misc]
    """This consumer will hand on nothing any more; a new one may."""

    retriable = True


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """Says so when what fetches for it has died: aiokafka's own goes on answering that there is nothing. And one that
    does not come to start leaves nothing open."""

    async def start(self) -> None:
        """As aiokafka's. Raises KafkaError."""
        try:
            await super().start()
        except BaseException:
            await _let_go(self)
            raise

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
        """As aiokafka's. Raises FetcherDied, too."""
        polled: dict[TopicPartition, list[ConsumerRecord]] = await super().getmany(*partitions, **options)
        if not polled and self._fetcher.error_future.done() and not self._closed:
            raise FetcherDied
        return polled


def group_consumer(settings: Settings, group: str, **tuning: Any) -> Consumer:
    """A member of ``group``: dynamic membership, commits by hand, from the beginning where nothing was committed.

    The range assignor gives a clinic's partition of every per-clinic topic to one and the same worker.
    """
    few = settings.kafka_clinic_partitions <= FEW_PARTITIONS
    options = {
        # Every fetch names every partition (aiokafka has no fetch sessions), so its cost grows with their number: the
        # broker collects a moment's records into one answer, and the more partitions the longer the moment.
        "fetch_min_bytes": 1 << 20,
        "fetch_max_wait_ms": FEW_PARTITIONS_WAIT_MS if few else MANY_PARTITIONS_WAIT_MS,
        "session_timeout_ms": settings.kafka_session_timeout_ms,
        "heartbeat_interval_ms": settings.kafka_session_timeout_ms // 4,
        "request_timeout_ms": max(REQUEST_TIMEOUT_MS * 2, settings.kafka_session_timeout_ms + 5_000),
        **connection(settings),
        **tuning,
    }
    return Consumer(
        group_id=group,
        client_id=settings.worker_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(RangePartitionAssignor,),
        **options,
    )


def lone_consumer(settings: Settings, *topics: str, **tuning: Any) -> Consumer:
    """Of all partitions of these topics, as no member of any group; from the beginning unless tuned otherwise."""
    options = {"auto_offset_reset": "earliest", **connection(settings), **tuning}
    return Consumer(*topics, client_id=settings.worker_id, enable_auto_commit=False, **options)


async def stop_in_time(consumer: Consumer) -> None:
    """Close it. One that stands still may not end either: after STOP_SECONDS its group is not told."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await consumer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("consumer_not_stopped", error=type(error).__name__)
        await _let_go(consumer)
    except asyncio.CancelledError:
        await _let_go(consumer)
        raise


async def _let_go(consumer: Consumer) -> None:
    """What a ``start`` or a ``stop`` that came to no end leaves: tasks that try on, and connections."""
    consumer._closed = True
    parts = (consumer._coordinator, consumer._fetcher)
    for task in [each for part in parts if part for each in vars(part).values() if isinstance(each, asyncio.Task)]:
        task.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await consumer._client.close()


class Producer:
    """One long-lived idempotent producer (acks=all), replaced when it reports a fatal error.

    aiokafka never withdraws a record it took: one whose acknowledgement nobody waits for any more may still be
    written when the broker returns. Whoever sends commands fences them with ``accept_by``.
    """

    def __init__(self, settings: Settings, *, linger_ms: int = 0) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None
        self._replacing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. Raises KafkaError while no broker answers."""
        producer = AIOKafkaProducer(
            **connection(self._settings),
            client_id=self._settings.worker_id,
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            max_batch_size=1 << 18,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=50,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    @property
    def started(self) -> bool:
        return self._producer is not None

    async def stop(self, seconds: float = 5.0) -> None:
        """Flush and close; what the broker does not take within ``seconds`` is given up."""
        if self._replacing:
            self._replacing.cancel()
            await asyncio.wait([self._replacing])
        producer, self._producer = self._producer, None
        if producer:
            await _close(producer, seconds)

    async def send(
        self, topic: str, partition: int, key: str | bytes | None, value: bytes | None, headers: Headers = ()
    ) -> asyncio.Future[RecordMetadata]:
        """Hand a record over; the future is its acknowledgement. Raises KafkaError when nothing was handed over.

        An acknowledgement that fails leaves the record's fate unknown. Dead letters have the key and value of
        whatever could not be read: any bytes, or none.
        """
        producer = self._current()
        try:
            sent: asyncio.Future[RecordMetadata] = await producer.send(
                topic,
                value,
                key=key.encode() if isinstance(key, str) else key,
                partition=partition,
                headers=list(headers),
            )
        except KafkaError as error:
            self._replace(producer, error)
            raise
        sent.add_done_callback(lambda done: self._look_at(producer, done))
        return sent

    async def send_all(
        self, records: Sequence[tuple[str, int, str, bytes] | tuple[str, int, str, bytes, Headers]]
    ) -> None:
        """Send (topic, partition, key, value), headers after it if any, and wait for every acknowledgement. Raises
        KafkaError.

        In order within a partition. Records are handed over by the batch, which costs a fifth of handing over each
        by itself, and a batch is appended whole or not at all.
        """
        by_partition: dict[tuple[str, int], list[tuple[bytes, bytes, list[Header]]]] = {}
        for topic, partition, key, value, *headers in records:
            more = list(headers[0]) if headers else []
            by_partition.setdefault((topic, partition), []).append((key.encode(), value, more))
        sent = [await self._send_batch(where, batch) for where, batch in self._batches(by_partition)]
        for outcome in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _batches(
        self, by_partition: Mapping[tuple[str, int], Sequence[tuple[bytes, bytes, list[Header]]]]
    ) -> Iterator[tuple[tuple[str, int], BatchBuilder]]:
        for where, records in by_partition.items():
            batch = self._current().create_batch()
            for key, value, headers in records:
                if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:  # full
                    yield where, batch
                    batch = self._current().create_batch()
                    batch.append(timestamp=None, key=key, value=value, headers=headers)
            yield where, batch

    async def _send_batch(self, where: tuple[str, int], batch: BatchBuilder) -> asyncio.Future[RecordMetadata]:
        producer = self._current()
        batch.close()  # or records of others would be added to it
        topic, partition = where
        try:
            sent: asyncio.Future[RecordMetadata] = await producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            self._replace(producer, error)
            raise
        sent.add_done_callback(lambda done: self._look_at(producer, done))
        return sent

    def _current(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise NoProducer("no producer: its replacement is under way")
        return self._producer

    def _look_at(self, producer: AIOKafkaProducer, done: asyncio.Future[RecordMetadata]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, KafkaError):
            self._replace(producer, error)

    def _replace(self, producer: AIOKafkaProducer, error: KafkaError) -> None:
        """An idempotent producer retries what can be retried; an error that reaches us is the end of it."""
        if self._producer is not producer:
            return
        log.warning("producer_replaced", error=type(error).__name__)
        self._producer = None
        self._replacing = asyncio.create_task(self._start_again(producer), name="replace producer")

    async def _start_again(self, old: AIOKafkaProducer) -> None:
        await _close(old, 1.0)
        while self._producer is None:
            try:
                await self.start()
            except (KafkaError, OSError) as error:  # a certificate that is just being replaced, perhaps
                log.warning("producer_not_started", error=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)


async def _close(producer: AIOKafkaProducer, seconds: float) -> None:
    try:
        await asyncio.wait_for(producer.stop(), seconds)
    except (TimeoutError, KafkaError):
        log.warning("producer_closed_with_records_unacknowledged")
        await _abandon(producer)
    except asyncio.CancelledError:
        await _abandon(producer)
        raise


async def _abandon(producer: AIOKafkaProducer) -> None:
    """What its own ``stop`` leaves when it cannot flush: a sender that tries on, and callers who wait for ever."""
    if sender := producer._sender.sender_task:
        sender.cancel()
    await producer.client.close()
    producer._message_accumulator.fail_all(ProducerClosed())


def assigned(consumer: AIOKafkaConsumer, *topics: str) -> list[TopicPartition]:
    """Every partition of these topics, which a started consumer without a group reads all. Raises KafkaError."""
    partitions: list[TopicPartition] = sorted(consumer.assignment())
    if missing := set(topics) - {where.topic for where in partitions}:
        raise UnknownTopicOrPartitionError(", ".join(sorted(missing)))
    return partitions
