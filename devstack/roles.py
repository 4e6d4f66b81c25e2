"""The stack's own processes: which program each is, how it is told where things are, when it counts as ready."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from devstack.ports import free_port
from devstack.processes import Process

ROOT = Path(__file__).parents[1]
WORKER_ROLES = ("hold", "confirm", "relay", "webhooks", "notify", "sweep")
NICE = {
    "postgres": 5,
    "hold": 12,
    "clinics": 12,
    "confirm": 15,
    "relay": 15,
    "webhooks": 17,
    "notify": 17,
    "sweep": 17,
    "receiver": 17,
    "eligibility": 17,
    "gateways": 17,
}
"""Where cores are shared the patient's answer goes first: ingress and Kafka at 0, what can wait behind them."""


@dataclass(frozen=True)
class Secrets:
    """Made anew for each stack; in no file of the repository."""

    ref_secret: str
    role_password: str
    master_key: str
    link_secret: str
    patient_secret: str

    @classmethod
    def generate(cls) -> Secrets:
        return cls(*(secrets.token_urlsafe(count) for count in (32, 24, 32, 32, 32)))


def dsn_of(owner_dsn: str, role: str, password: str) -> str:
    """The owner's address with another login."""
    parts = urlsplit(owner_dsn)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"waiting_room_{role}:{quote(password, '')}@{address}"))


def common_env(kafka: str, partitions: int, extra: Mapping[str, str]) -> dict[str, str]:
    """What every process of ours is told."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("WAITING_ROOM_")}
    return {
        **own,
        "WAITING_ROOM_KAFKA_BOOTSTRAP": kafka,
        "WAITING_ROOM_KAFKA_CLINIC_PARTITIONS": str(partitions),
        "WAITING_ROOM_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "WAITING_ROOM_WEBHOOK_RETRY_SECONDS": "1,2,5,10,20,30,60",
        **extra,
    }


def ingress(
    env: Mapping[str, str],
    owner_dsn: str,
    keys: Secrets,
    logs: Path,
    metrics_urls: Iterable[str] = (),
    port: int | None = None,
) -> tuple[Process, str]:
    """(process, base URL). ``metrics_urls``: what /ops shows beside its own. Any free port, unless one is given."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    return _program(
        "ingress",
        ["-m", "ingress"],
        {
            **env,
            "WAITING_ROOM_INGRESS_PORT": str(port),
            "WAITING_ROOM_REF_SECRET": keys.ref_secret,
            "WAITING_ROOM_NOTIFY_LINK_SECRET": keys.link_secret,
            "WAITING_ROOM_MASTER_KEY": keys.master_key,
            "WAITING_ROOM_PATIENT_SECRET": keys.patient_secret,
            "WAITING_ROOM_OPS_METRICS_URLS": ",".join(metrics_urls),
            "WAITING_ROOM_POSTGRES_DSN": dsn_of(owner_dsn, "ingress", keys.role_password),
        },
        f"{url}/readyz",
        logs,
    ), url


def worker(
    role: str, env: Mapping[str, str], owner_dsn: str, keys: Secrets, logs: Path, *, name: str | None = None
) -> tuple[Process, str]:
    """(process, metrics URL) of ``python -m workers ROLE``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    sealed = {"WAITING_ROOM_MASTER_KEY": keys.master_key}
    own = {
        "hold": {**sealed, "WAITING_ROOM_PATIENT_SECRET": keys.patient_secret},
        "confirm": sealed,
        "webhooks": sealed,
        "sweep": sealed,
        "notify": {**sealed, "WAITING_ROOM_NOTIFY_LINK_SECRET": keys.link_secret},
    }.get(role, {})
    return _program(
        name or role,
        ["-m", "workers", role],
        {
            **env,
            **own,
            "WAITING_ROOM_METRICS_PORT": str(port),
            "WAITING_ROOM_POSTGRES_DSN": dsn_of(owner_dsn, role, keys.role_password),
        },
        f"{url}/readyz",
        logs,
        nice=NICE[role],
    ), f"{url}/metrics"


def supervisor(
    module: Sequence[str], env: Mapping[str, str], owner_dsn: str, keys: Secrets, logs: Path, port: int | None = None
) -> tuple[Process, str]:
    """(process, metrics URL) of ``python -m MODULE...``, which starts confirm workers and has their login. Any free
    port, unless one is given.
    """
    port = port or free_port()
    own = {
        **env,
        "WAITING_ROOM_METRICS_PORT": str(port),
        "WAITING_ROOM_MASTER_KEY": keys.master_key,
        "WAITING_ROOM_POSTGRES_DSN": dsn_of(owner_dsn, "confirm", keys.role_password),
    }
    url = f"http://127.0.0.1:{port}"
    process = _program("supervise", ["-m", *module], own, f"{url}/readyz", logs, nice=NICE["confirm"])
    return process, f"{url}/metrics"


def simulator(name: str, port: int, arguments: list[str], logs: Path) -> Process:
    """``python -m loadtest NAME``: something we do not own."""
    return _program(
        name,
        ["-m", "loadtest", name, "--port", str(port), *arguments],
        os.environ,
        f"http://127.0.0.1:{port}/healthz",
        logs,
        nice=NICE[name],
    )


def gateways_env(http_port: int, smtp_port: int) -> dict[str, str]:
    """Where messages to patients go, for `common_env`."""
    http = f"http://127.0.0.1:{http_port}"
    return {
        "WAITING_ROOM_NOTIFY_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "WAITING_ROOM_NOTIFY_EMAIL_FROM": "Demo Health <no-reply@demo-health.example>",
        "WAITING_ROOM_NOTIFY_SMS_URL": f"{http}/sms",
        "WAITING_ROOM_NOTIFY_PUSH_URL": f"{http}/push",
    }


def eligibility_env(port: int) -> dict[str, str]:
    """Where confirm asks who may have what, for `common_env`."""
    return {"WAITING_ROOM_ELIGIBILITY_URL": f"http://127.0.0.1:{port}"}


def _program(
    name: str, arguments: list[str], env: Mapping[str, str], ready_url: str, logs: Path, *, nice: int = 0
) -> Process:
    return Process(
        name,
        [sys.executable, *arguments],
        log_file=logs / f"{name}.log",
        env=env,
        cwd=ROOT,
        nice=nice,
        ready_url=ready_url,
        ready_timeout_seconds=200,
    )
