"""The whole stack on one machine: servers, schema, topics, clinics, processes; started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from pydantic import SecretStr

from devstack import roles
from devstack.kafka_server import KafkaServer
from devstack.ports import free_port
from devstack.postgres_server import PostgresServer
from devstack.processes import Process
from devstack.roles import ROOT, WORKER_ROLES, Secrets
from devstack.warm import warm_partitions
from devstack.world import APP, Shape, World, build
from waiting_room import onboarding, storage, topics_admin
from waiting_room.access import SCOPES_OF, OwnerKind
from waiting_room.envelope import envelope_of
from waiting_room.kafka import Producer
from waiting_room.republish import republish
from waiting_room.settings import Settings
from waiting_room.storage import Limits
from waiting_room.store import access_keys, directory
from waiting_room.store.access_keys import NewKey
from waiting_room.store.migrate import let_roles_log_in, migrate

RUN = ROOT / ".run"
STACK_FILE = RUN / "stack.json"
DATABASE = "waiting_room"
Progress = Callable[[str], None]


@dataclass
class Stack:
    """A running stack. ``processes`` by name: ours and the simulators; the servers apart."""

    shape: Shape
    folder: Path
    extra_env: dict[str, str] = field(default_factory=dict)
    progress: Progress = print
    worker_roles: tuple[str, ...] = WORKER_ROLES
    """Which workers ``start`` starts; others may be added to ``processes``."""
    kafka: KafkaServer | None = None
    postgres: PostgresServer | None = None
    kafka_address: str = ""
    owner_dsn: str = ""
    processes: dict[str, Process] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=Secrets.generate)
    world: World = field(init=False)
    description: dict[str, Any] = field(default_factory=dict)
    _clinics_port: int = field(init=False)
    _receiver_port: int = field(init=False)
    _gateways_port: int = field(default_factory=free_port)
    _smtp_port: int = field(default_factory=free_port)
    _eligibility_port: int = field(default_factory=free_port)
    _ingress_url: str = field(init=False)

    async def start(self) -> None:
        """Returns when every process is ready. Raises ProcessFailed; call ``stop`` in any case."""
        started = time.monotonic()
        keys = await self.start_servers()
        metrics_urls = await self._start_programs()
        self.progress(f"every process is ready ({time.monotonic() - started:.1f} s)")
        self.description = {
            "ingress_url": self._ingress_url,
            "app_key": keys[OwnerKind.APP, APP],
            "clinic_keys": {owner: key for (kind, owner), key in keys.items() if kind is OwnerKind.CLINIC},
            "operator_key": keys[OwnerKind.OPERATOR, "demo"],
            "kafka": self.kafka_address,
            "postgres": roles.dsn_of(self.owner_dsn, "audit", self.secrets.role_password),
            "metrics_urls": metrics_urls,
            "clinics": self.world.clinics,
            "clinics_url": self.clinics_url,
            "receiver_url": self.receiver_url,
            "gateways_url": self.gateways_url,
            "eligibility_url": self.eligibility_url,
            "pid": os.getpid(),
            "env": self.owner_env(),
        }

    async def start_servers(self) -> dict[tuple[OwnerKind, str], str]:
        """Kafka and PostgreSQL, filled with schema, topics, clinics and keys, and nothing else; the tokens by owner."""
        started = time.monotonic()
        self.logs.mkdir(parents=True, exist_ok=True)
        await asyncio.gather(self._start_kafka(), self._start_postgres())
        self.progress(f"Kafka and PostgreSQL are up ({time.monotonic() - started:.1f} s)")
        self._clinics_port, self._receiver_port = free_port(), free_port()
        self.world = build(self.shape, self.clinics_url, _url(self._receiver_port))
        keys = await self._fill()
        self.progress(f"schema, topics and {self.shape.clinics} clinics are in place")
        return keys

    async def stop(self, *, keep: bool = False) -> None:
        """Stop everything that runs, writers first; remove the data unless it is to be kept."""
        ours = [self.processes[name] for name in ("ingress", *WORKER_ROLES) if name in self.processes]
        others = [process for process in self.processes.values() if process not in ours]
        for group in (ours, others):
            await asyncio.gather(*(process.stop(20) for process in group))
        servers = [server.stop() for server in (self.kafka, self.postgres) if server is not None]
        await asyncio.gather(*servers)
        if not keep:
            shutil.rmtree(self.folder / "data", ignore_errors=True)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def settings(self, **overrides: Any) -> Settings:
        """Settings of the schema's owner, for work done by the stack itself."""
        return Settings(
            kafka_bootstrap=self.kafka_address,
            kafka_clinic_partitions=self.shape.partitions,
            postgres_dsn=SecretStr(self.owner_dsn),
            master_key=SecretStr(self.secrets.master_key),
            patient_secret=SecretStr(self.secrets.patient_secret),
            **overrides,
        )

    def env(self) -> dict[str, str]:
        """What every process of this stack is told, but for its own login."""
        others = roles.gateways_env(self._gateways_port, self._smtp_port)
        if self.eligibility_url is not None:
            others |= roles.eligibility_env(self._eligibility_port)
        return roles.common_env(self.kafka_address, self.shape.partitions, {**others, **self.extra_env})

    def owner_env(self) -> dict[str, str]:
        """What ``python -m waiting_room`` needs to look after this stack, as the schema's owner."""
        return {
            "WAITING_ROOM_KAFKA_BOOTSTRAP": self.kafka_address,
            "WAITING_ROOM_KAFKA_CLINIC_PARTITIONS": str(self.shape.partitions),
            "WAITING_ROOM_POSTGRES_DSN": self.owner_dsn,
            "WAITING_ROOM_MASTER_KEY": self.secrets.master_key,
            "WAITING_ROOM_PATIENT_SECRET": self.secrets.patient_secret,
        }

    async def audit(self, ledger: Path) -> tuple[bool, str]:
        """Whether the independent audit of this stack, come to rest, found nothing; and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "waiting_room", "audit", "--settled",
            "--ledger", str(ledger),
            "--clinic-records", f"{self.description['clinics_url']}/_sim/records",
            "--received", f"{self.description['receiver_url']}/_sim/received",
            cwd=ROOT,
            env={**self.env(), "WAITING_ROOM_POSTGRES_DSN": self.description["postgres"]},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode == 0, output.decode(errors="replace").rstrip()

    async def _start_kafka(self) -> None:
        if address := os.environ.get("WAITING_ROOM_KAFKA_BOOTSTRAP"):
            self.kafka_address = address
            return
        self.kafka = KafkaServer(
            self.folder / "data" / "kafka", heap=heap_of(self.shape.partitions), log_file=self.logs / "kafka.log"
        )
        await self.kafka.start()
        self.kafka_address = self.kafka.bootstrap_servers

    async def _start_postgres(self) -> None:
        if dsn := os.environ.get("WAITING_ROOM_POSTGRES_DSN"):
            self.owner_dsn = dsn
            return
        self.postgres = PostgresServer(self.folder / "data" / "postgres", nice=roles.NICE["postgres"])
        await self.postgres.start()
        admin = await asyncpg.connect(self.postgres.dsn())
        try:
            if not await admin.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await admin.close()
        self.owner_dsn = f"{self.postgres.dsn(DATABASE)}?sslmode=disable"

    async def _fill(self) -> dict[tuple[OwnerKind, str], str]:
        """Schema, topics, clinics and keys; the tokens by owner."""
        settings = self.settings()

        async def schema() -> None:
            await migrate(self.owner_dsn)
            await let_roles_log_in(self.owner_dsn, self.secrets.role_password)
            await self._look_after_storage(settings)

        async def kafka_topics() -> None:
            await topics_admin.ensure(settings)
            await warm_partitions(settings)

        await asyncio.gather(schema(), kafka_topics())
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            file = onboarding.read(self.world.onboarding)
            async with connection.transaction():
                await directory.import_file(connection, file, self.shape.partitions, envelope_of(settings))
                owners = [(OwnerKind.APP, APP), (OwnerKind.OPERATOR, "demo")]
                owners += [(OwnerKind.CLINIC, clinic["id"]) for clinic in self.world.clinics]
                made = await access_keys.create_keys(
                    connection, [NewKey(kind, owner, SCOPES_OF[kind]) for kind, owner in owners]
                )
            await self._publish(connection)
        finally:
            await connection.close()
        return {owner: str(token) for owner, (token, _) in zip(owners, made, strict=True)}

    async def _look_after_storage(self, settings: Settings) -> None:
        """At each start: a stack on one machine that runs for months is started anew within them."""
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            await storage.look_after(connection, Limits.of(settings))
        finally:
            await connection.close()

    async def _publish(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Ingress finds clinics and keys in its topics from its first moment, before relay runs."""
        producer = Producer(self.settings())
        await producer.start()
        try:
            async with connection.transaction():
                await republish(connection, producer)
        finally:
            await producer.stop()

    @property
    def clinics_url(self) -> str:
        """Where the simulated clinics are, or will be."""
        return _url(self._clinics_port)

    def clinic_simulator(self) -> Process:
        """The simulated clinics of this stack's world, not started. Call ``start_servers`` before."""
        data = self.folder / "data"
        spec = data / "clinics.json"
        spec.write_bytes(self.world.behaviours)
        options = ["--spec", str(spec), "--seed", str(self.shape.seed), "--record", str(data / "clinics.record")]
        return roles.simulator("clinics", self._clinics_port, options, self.logs)

    @property
    def gateways_url(self) -> str:
        """Where the gateways to patients are, or will be."""
        return _url(self._gateways_port)

    def gateways_simulator(self, *options: str) -> Process:
        """What carries messages to patients, not started."""
        arguments = ["--smtp-port", str(self._smtp_port), "--seed", str(self.shape.seed), *options]
        return roles.simulator("gateways", self._gateways_port, arguments, self.logs)

    @property
    def eligibility_url(self) -> str | None:
        """Where the system that knows who may have what is, or will be; None where nothing of this world asks."""
        return None if self.shape.eligibility == "none" else _url(self._eligibility_port)

    def eligibility_simulator(self, *options: str) -> Process:
        """That system, not started."""
        return roles.simulator("eligibility", self._eligibility_port, list(options), self.logs)

    @property
    def receiver_url(self) -> str:
        """Where the simulated webhook endpoints are, or will be."""
        return _url(self._receiver_port)

    def webhook_receiver(self) -> Process:
        """The simulated webhook endpoints of this stack's world, not started. Call ``start_servers`` before."""
        hooks = self.folder / "data" / "webhook-secrets.json"
        hooks.write_bytes(self.world.webhook_secrets)
        hooks.chmod(0o600)
        return roles.simulator("receiver", self._receiver_port, ["--secrets", str(hooks)], self.logs)

    async def _start_programs(self) -> dict[str, str]:
        simulated = [self.clinic_simulator(), self.webhook_receiver(), self.gateways_simulator()]
        if self.eligibility_url is not None:
            simulated.append(self.eligibility_simulator())
        env, port = self.env(), free_port()
        env["WAITING_ROOM_NOTIFY_PUBLIC_URL"] = _url(port)
        metrics_urls: dict[str, str] = {}
        workers = []
        for role in self.worker_roles:
            process, metrics_urls[role] = roles.worker(role, env, self.owner_dsn, self.secrets, self.logs)
            workers.append(process)
        told = list(metrics_urls.values())
        ingress, self._ingress_url = roles.ingress(env, self.owner_dsn, self.secrets, self.logs, told, port)
        metrics_urls = {"ingress": f"{self._ingress_url}/metrics", **metrics_urls}
        started = [*simulated, ingress, *workers]
        self.processes = {process.name: process for process in started}
        await asyncio.gather(*(process.start() for process in started))
        return metrics_urls


def heap_of(partitions: int) -> str:
    """Of a broker whose per-clinic topics have so many partitions, as Java's options say it."""
    return "512m" if partitions <= 64 else "1g"


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def write_stack_file(stack: Stack, path: Path = STACK_FILE) -> None:
    """What scripts need to know of a running stack; readable by its owner only, since it holds keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(stack.description)))
    unfinished.replace(path)
