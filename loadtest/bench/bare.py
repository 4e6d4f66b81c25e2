"""The least an ingress could do: decode the body, await the same Kafka produce, answer. What ours is compared with."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TOPIC = "bench.bare"
PORT_VARIABLE, KAFKA_VARIABLE, PARTITIONS_VARIABLE = "BARE_PORT", "BARE_KAFKA", "BARE_PARTITIONS"
ANSWER = b'{"status":"pending"}'


def create_app(bootstrap: str, partitions: int) -> Starlette:
    """``POST /v1/appointments`` to a record in TOPIC, partition by clinic; 202 once it is acknowledged."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
        await producer.start()
        app.state.producer = producer
        yield
        await producer.stop()

    async def accept(request: Request) -> Response:
        raw = await request.body()
        clinic_id = str(msgspec.json.decode(raw)["provider_id"])[:4]
        producer: AIOKafkaProducer = request.app.state.producer
        partition = zlib.crc32(clinic_id.encode()) % partitions
        await producer.send_and_wait(TOPIC, raw, key=clinic_id.encode(), partition=partition)
        return Response(ANSWER, status_code=202, media_type="application/json")

    async def ready(request: Request) -> Response:
        return Response(b"ok")

    return Starlette(
        routes=[Route("/v1/appointments", accept, methods=["POST"]), Route("/readyz", ready)], lifespan=lifespan
    )


def main() -> None:
    app = create_app(os.environ[KAFKA_VARIABLE], int(os.environ[PARTITIONS_VARIABLE]))
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ[PORT_VARIABLE]), loop="uvloop", http="httptools", log_config=None,
        access_log=False, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
