"""A real Apache Kafka broker without Docker, root or a system Java."""

import asyncio
import base64
import uuid
from collections.abc import Sequence
from pathlib import Path

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError

from devstack.kafka_config import write_logging_properties, write_server_properties
from devstack.kafka_java import kafka_command
from devstack.ports import free_port
from devstack.processes import Process

_FORMAT_TIMEOUT_SECONDS = 200.0
_METADATA_TIMEOUT_MS = 2_000


class KafkaServer:
    """One broker with its controller in the same process (KRaft), on loopback, unencrypted.

    Its data outlives it: `start` after `stop` or `kill`, by this object or by a later one on the same
    folder, finds every acknowledged record. That holds against kill -9, not against power loss: Kafka
    leaves flushing to the operating system and relies on replicas, of which there are none here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heap: str = "512m",
        port: int | None = None,
        controller_port: int | None = None,
        log_file: Path | None = None,
        java_options: Sequence[str] = (),
        ready_timeout_seconds: float = 200.0,
    ) -> None:
        self.folder = folder.absolute()
        self._port = port or free_port()
        self._controller_port = controller_port or free_port()
        self._heap = heap
        self._java_options = java_options
        self._log_file = log_file or self.folder / "kafka.log"
        self._ready_timeout_seconds = ready_timeout_seconds
        self._process: Process | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients; stays the same over restarts of this object."""
        return f"127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the broker's process exists, frozen or not."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        return self._started().pid

    async def start(self) -> None:
        """Returns when the broker serves producers and consumer groups. Raises ProcessFailed with the log's end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_server_properties(
            self._properties, data=self._data, port=self._port, controller_port=self._controller_port
        )
        write_logging_properties(self._logging)
        await self._format()
        if self._process is None:
            self._process = Process(
                "kafka",
                kafka_command(
                    ["kafka.Kafka", self._properties],
                    heap=self._heap,
                    logging=self._logging,
                    java_options=self._java_options,
                ),
                log_file=self._log_file,
                ready=self._answers,
                ready_timeout_seconds=self._ready_timeout_seconds,
            )
        await self._process.start()

    async def stop(self, deadline_seconds: float = 10.0) -> None:
        """Orderly shutdown, SIGKILL after the deadline."""
        if self._process is not None:
            await self._process.stop(deadline_seconds)

    async def kill(self) -> None:
        """SIGKILL; returns when the broker is gone."""
        if self._process is not None:
            await self._process.kill()

    async def restart(self, deadline_seconds: float = 10.0) -> None:
        """`stop` where needed, then `start` on the same data and ports."""
        await self.stop(deadline_seconds)
        await self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        self._started().freeze()

    def thaw(self) -> None:
        """Undoes `freeze`."""
        self._started().thaw()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _logging(self) -> Path:
        return self.folder / "log4j2.properties"

    def _started(self) -> Process:
        if self._process is None:
            raise RuntimeError("kafka is not running")
        return self._process

    async def _format(self) -> None:
        """Gives a new data folder its cluster id; one that has been formatted is left alone."""
        if (self._data / "meta.properties").exists():
            return
        # Given with "=", since one in 64 begins with "-" and would pass for an option.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_storage = kafka_command(
            ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", self._properties],
            heap=self._heap,
            logging=self._logging,
        )
        formatting = Process("kafka format", format_storage, log_file=self.folder / "format.log")
        formatting.spawn()
        await formatting.expect_success(_FORMAT_TIMEOUT_SECONDS)

    async def _answers(self) -> bool:
        # The port opens only once the controller lets the broker serve, so a refused connection is the
        # usual "not yet"; aiokafka would log each as an error.
        if not await self._accepts_connections():
            return False
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=_METADATA_TIMEOUT_MS)
        try:
            await client.bootstrap()
            # Asking makes the broker create its offsets topic, which the first consumer would wait for.
            await client.coordinator_lookup(CoordinationType.GROUP, "any")
            return True
        except (KafkaError, OSError):
            return False
        finally:
            await client.close()

    async def _accepts_connections(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True
