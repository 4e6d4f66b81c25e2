"""Clinics to test with, and settings that point at the test servers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import asyncpg
from pydantic import SecretStr

from tests.stack import Kafka
from tests.support.database import Database
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.settings import Settings

PARTITIONS = 4
MASTER_KEY = b64encode(b"a master key for tests, 32 bytes").decode()
PATIENT_SECRET = "a test's secret for patients' tags"
BUSINESS = "demo"
SERVICE = "consultation"
_TOMORROW = (datetime.now(UTC) + timedelta(days=1, hours=3)).date()
"""The same for a whole run, which may last over midnight: then it is today, but not in the middle of a test. One that
begins in the last hours of a day has the day after the next.
"""
ALWAYS_OPEN = [{"weekday": day, "opens": "00:00:00", "closes": "23:30:00", "slot_minutes": 30} for day in range(1, 8)]


@dataclass(frozen=True)
class ClinicSpec:
    """A clinic to seed; ``endpoint`` None is a builtin one. Its one provider is ``<clinic_id>-1``."""

    clinic_id: str
    endpoint: str | None = None
    capacity: int = 1
    concurrency: int = 4
    settle_seconds: float = 1.0
    honours_idempotency: bool = True
    has_lookup: bool = True
    reports_changes: bool = False
    partition: int = 0
    providers: int = 1

    @property
    def provider_id(self) -> str:
        return f"{self.clinic_id}-1"


def clinics(count: int, **common: Any) -> list[ClinicSpec]:
    """The first ``count`` clinics, spread over the test partitions."""
    return [ClinicSpec(clinic_id_of_number(n), partition=n % PARTITIONS, **common) for n in range(1, count + 1)]


async def seed(connection: asyncpg.Connection[asyncpg.Record], specs: Sequence[ClinicSpec]) -> None:
    """Write these clinics with half-hour consultations around the clock (UTC)."""
    await connection.execute("INSERT INTO businesses VALUES ($1, 'Demo') ON CONFLICT DO NOTHING", BUSINESS)
    await connection.execute(
        "INSERT INTO service_types VALUES ($1, $2, 30, 0) ON CONFLICT DO NOTHING", BUSINESS, SERVICE
    )
    for spec in specs:
        await connection.execute(
            """
            INSERT INTO clinics (clinic_id, business_id, name, timezone, adapter, endpoint, declared_concurrency,
                                 settle_seconds, honours_idempotency, has_lookup, partition, reports_changes)
            VALUES ($1, $2, 'Clinic ' || $1, 'UTC', $3, $4, $5, $6, $7, $8, $9, $10)
            """,
            spec.clinic_id,
            BUSINESS,
            "rest" if spec.endpoint else "builtin",
            spec.endpoint,
            spec.concurrency,
            spec.settle_seconds,
            spec.honours_idempotency,
            spec.has_lookup,
            spec.partition,
            spec.reports_changes,
        )
        await connection.execute("INSERT INTO clinic_counters (clinic_id) VALUES ($1)", spec.clinic_id)
        await connection.execute("INSERT INTO relay_cursors (clinic_id) VALUES ($1)", spec.clinic_id)
        for number in range(1, spec.providers + 1):
            await connection.execute(
                "INSERT INTO providers VALUES ($1, $2, 'Dr ' || $1, $3, $4, $5)",
                f"{spec.clinic_id}-{number}",
                spec.clinic_id,
                spec.capacity,
                [SERVICE],
                json.dumps(ALWAYS_OPEN),
            )


def settings_for(database: Database | None, kafka: Kafka | None, role: str = "hold", **overrides: Any) -> Settings:
    """Settings of a process of ``role``; what is not given points nowhere."""
    values: dict[str, Any] = {
        "kafka_clinic_partitions": PARTITIONS,
        "kafka_session_timeout_ms": 6_000,
        "ref_secret": SecretStr("a test's secret for booking refs!"),
        "master_key": SecretStr(MASTER_KEY),
        "patient_secret": SecretStr(PATIENT_SECRET),
        "worker_id": f"{role}-test",
        "patient_pending_max": 1_000,  # many tests know one patient only
    }
    if kafka is not None:
        values["kafka_bootstrap"] = kafka.bootstrap_servers
    if database is not None:
        values["postgres_dsn"] = SecretStr(database.dsn(role))
    return Settings(**{**values, **overrides})


def tomorrow(hour: int = 9, minute: int = 0) -> datetime:
    """A bookable start."""
    return datetime.combine(_TOMORROW, time(hour, minute), UTC)
