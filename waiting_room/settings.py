"""Every setting, read from the environment (prefix ``WAITING_ROOM_``) and validated before anything starts.

``python -m waiting_room config`` prints this list; docs/configuration.md holds the same and a test compares them.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from typing import Literal, NoReturn, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from waiting_room import setting_kinds as kinds
from waiting_room.busy_feed_settings import BusyFeedSettings
from waiting_room.domain.limits import PENDING_MAX
from waiting_room.eligibility_settings import EligibilitySettings
from waiting_room.hot_tier_settings import HotTierSettings
from waiting_room.notify_settings import NotifySettings
from waiting_room.privacy_settings import PrivacySettings
from waiting_room.storage_settings import StorageSettings
from waiting_room.stream_settings import StreamSettings
from waiting_room.webhook_settings import WebhookSettings

PREFIX = "WAITING_ROOM_"


class _Core(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    # Kafka
    kafka_bootstrap: kinds.Brokers = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma separated.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism; used with SASL_* protocols."
    )
    kafka_sasl_username: str | None = Field(None, description="SASL user.")
    kafka_sasl_password: SecretStr | None = Field(None, description="SASL password.")
    kafka_ssl_cafile: str | None = Field(
        None, description="CA bundle for the brokers' certificates; system's if unset."
    )
    kafka_ssl_certfile: str | None = Field(None, description="Client certificate (PEM), for mutual TLS.")
    kafka_ssl_keyfile: str | None = Field(None, description="Key of the client certificate (PEM).")
    kafka_clinic_partitions: int = Field(
        24, ge=1, le=4096, description="Partitions of the per-clinic topics: 512 in production, 24 in the demo."
    )
    kafka_replication_factor: int = Field(1, ge=1, le=7, description="Replicas of every topic: 3 in production.")
    kafka_min_insync_replicas: int = Field(1, ge=1, le=7, description="min.insync.replicas: 2 in production.")
    kafka_session_timeout_ms: int = Field(
        10_000, ge=1_000, le=300_000, description="After this silence a worker's partitions go to another."
    )

    # PostgreSQL
    postgres_dsn: kinds.PostgresDsn = Field(
        SecretStr("postgresql://127.0.0.1:5432/waiting_room"),
        description="PostgreSQL address with the process's own role; TLS by sslmode= and sslrootcert= in it.",
    )
    postgres_pool_max: int = Field(8, ge=1, le=200, description="Connections a process may hold.")
    postgres_role_password: SecretStr | None = Field(
        None,
        description="If set, `migrate` lets each process role log in with it (embedded stack and compose).",
    )

    # Identity
    ref_secret: kinds.RefSecret = Field(
        None, description="Secret that booking_refs are derived with: 32 to 64 characters. Ingress needs it."
    )
    ref_secrets_retired: kinds.RefSecrets = Field(
        SecretStr(""), description="Earlier ref secrets, comma separated: their refs stay valid."
    )

    # Ingress
    ingress_host: str = Field("127.0.0.1", description="Address ingress listens on.")
    ingress_port: int = Field(8080, ge=1, le=65_535, description="Port ingress listens on.")
    ingress_share_port: bool = Field(
        False,
        description="Let several ingress processes of one host listen on that port; give each a metrics port.",
    )
    ingress_body_max_bytes: int = Field(16_384, ge=1_024, le=1_048_576, description="Largest request body.")
    calendar_body_max_bytes: int = Field(
        262_144, ge=1_024, le=4_194_304, description="Largest body of a calendar: rules, busy times, iCalendar files."
    )
    slots_days_max: int = Field(
        20_000, ge=16, le=10_000_000, description="Providers' days an ingress keeps reckoned, about 4 kB each."
    )
    ingress_accept_within_ms: int = Field(
        1_500,
        ge=100,
        le=10_000,
        description="A command appended later than this after its request is discarded.",
    )
    ingress_answer_within_ms: int = Field(
        1_800,
        ge=200,
        le=20_000,
        description="A caller is answered after this at the latest, with or without an outcome.",
    )
    ingress_in_flight_max: int = Field(
        400,
        ge=1,
        le=100_000,
        description="Commands that may wait for Kafka at once, fewer while a queue stands there; the next is refused.",
    )
    ingress_remember_keys: int = Field(
        100_000,
        ge=0,
        le=10_000_000,
        description="Idempotency keys an ingress remembers to tell a changed body (422).",
    )
    rate_app_per_second: int = Field(
        5_000, ge=1, le=1_000_000, description="Commands an app may send to one ingress, over ten seconds (429)."
    )
    rate_patient_per_minute: int = Field(
        30, ge=1, le=1_000_000, description="Bookings an app may send for one patient to one ingress (429)."
    )
    unheld_max: int = Field(
        20_000,
        ge=1,
        le=10_000_000,
        description="Appended but not yet held in one partition; above it bookings are refused (429).",
    )
    book_ahead_max_days: int = Field(90, ge=1, le=730, description="How far ahead a start may lie.")

    # Workers
    worker_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="This process's name in pulses and leases. Default: host and pid.",
    )
    hold_batch_max: int = Field(200, ge=1, le=10_000, description="Commands hold takes into one transaction.")
    hold_deadline_seconds: int = Field(
        7_200,
        ge=1,
        le=604_800,
        description="A booking its clinic has not decided by then is rejected and its seat freed.",
    )
    hold_deadline_in_outage_seconds: int = Field(
        86_400,
        ge=1,
        le=604_800,
        description="The same for a booking whose clinic was down meanwhile; never later than its start.",
    )
    patient_pending_max: int = Field(
        PENDING_MAX,
        ge=1,
        le=1_000,
        description="Pending bookings a patient of an app may have at once, at all clinics together.",
    )
    confirm_wait_target_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Bookings should wait no longer for their clinic call; scales workers.",
    )
    confirm_calls_max: int = Field(
        500, ge=1, le=10_000, description="Clinic calls one confirm worker may have in flight."
    )
    confirm_lane_max: int = Field(
        64,
        ge=1,
        le=100_000,
        description="Bookings of one clinic a confirm worker keeps in memory; the rest waits in Kafka or PostgreSQL.",
    )
    confirm_workers_min: int = Field(
        1, ge=1, le=1_000, description="Confirm workers that `python -m workers supervise` runs at least."
    )
    confirm_workers_max: int = Field(
        4, ge=1, le=1_000, description="Confirm workers it runs at the most; never more than there are partitions."
    )
    confirm_workers_down_after_seconds: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="A confirm worker goes when it was not needed for so long; the next a quarter of that later.",
    )
    confirm_workers_prometheus_url: kinds.HttpUrl = Field(
        "",
        description="Prometheus that scrapes these workers (`supervise` lists them at /targets) and records how many "
        "are desired. Unset, or while it has no number, the workers themselves are asked.",
    )
    clinic_call_seconds: float = Field(
        10.0, gt=0, le=120, description="Deadline of one clinic call; a call's lease is longer."
    )
    clinic_lease_seconds: float = Field(
        15.0,
        gt=0,
        le=300,
        description="How long a claimed call is nobody else's. More than clinic_call_seconds.",
    )
    clinic_changes_seconds: float = Field(
        10.0, gt=0, le=86_400, description="How often a clinic that reports changes is asked what it booked itself."
    )
    shutdown_seconds: float = Field(
        15.0, gt=0, le=600, description="Time a worker takes to finish or hand back on SIGTERM."
    )
    sweep_every_seconds: float = Field(1.0, gt=0, le=60, description="Pause between two rounds of sweep.")
    sweep_ring_after_seconds: float = Field(
        30.0,
        gt=0,
        le=3_600,
        description="A booking held for this long whose turn it is and that nobody calls is announced again.",
    )
    sweep_seen_after_hours: int = Field(
        12,
        ge=1,
        le=8_760,
        description="From the end of an appointment of which nobody says what became until its patient is taken for "
        "seen, where doses are kept for it or no other appointment may be had meanwhile.",
    )

    # Telemetry
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    metrics_host: str = Field("127.0.0.1", description="Address a worker serves /metrics and /healthz on.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Its port; 0 turns it off. Ingress serves /metrics on its own port too, and here if set.",
    )

    otlp_endpoint: kinds.HttpUrl = Field(
        "",
        description="Where traces go: an OTLP/HTTP address, .../v1/traces. Unset, nothing is traced.",
    )
    trace_share: float = Field(
        0.01, ge=0, le=1, description="Of all bookings, how many are traced: the same ones in every process."
    )
    ops_metrics_urls: kinds.HttpUrls = Field(
        "",
        description="Where /ops reads what the other processes say: addresses of /metrics, or a supervisor's of "
        "/targets, comma separated.",
    )
    ops_from_loopback: bool = Field(
        True,
        description="Show /ops without a key to callers on this machine. Off where a proxy runs beside ingress.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.clinic_lease_seconds <= self.clinic_call_seconds:
            raise ValueError("clinic_lease_seconds must be more than clinic_call_seconds")
        if self.confirm_workers_min > self.confirm_workers_max:
            raise ValueError("confirm_workers_min must not be more than confirm_workers_max")
        if self.hold_deadline_in_outage_seconds < self.hold_deadline_seconds:
            raise ValueError("hold_deadline_in_outage_seconds must not be less than hold_deadline_seconds")
        if self.ingress_answer_within_ms < self.ingress_accept_within_ms:
            raise ValueError("ingress_answer_within_ms must not be less than ingress_accept_within_ms")
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError("kafka_sasl_username and kafka_sasl_password go with a SASL protocol")
        if self.kafka_min_insync_replicas > self.kafka_replication_factor:
            raise ValueError("kafka_min_insync_replicas must not be more than kafka_replication_factor")
        return self


class Settings(
    StorageSettings,
    HotTierSettings,
    PrivacySettings,
    NotifySettings,
    BusyFeedSettings,
    WebhookSettings,
    EligibilitySettings,
    StreamSettings,
    _Core,
):
    """All of them."""


class BadSettings(SystemExit):
    """Ends the process with status 2 and one readable line a mistake."""


def load() -> Settings:
    """The settings of this process. On a mistake: one line each on standard error, exit status 2."""
    try:
        settings = Settings()
    except ValidationError as error:
        _refuse(error)
    if wrong := [(name, why) for name, file in _files(settings) if (why := kinds.unreadable(file))]:
        sys.stderr.write("".join(f"bad setting: {PREFIX}{name.upper()}: {why}\n" for name, why in wrong))
        raise BadSettings(2)
    return settings


def _files(settings: Settings) -> list[tuple[str, str]]:
    """Looked for by the process that reads them, and nowhere else: another machine's settings may be checked here."""
    of_kafka = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
    found = [(name, file) for name in of_kafka if (file := getattr(settings, name))]
    return found + [("postgres_dsn", file) for file in kinds.files_of(settings.postgres_dsn)]


def _refuse(error: ValidationError) -> NoReturn:
    for mistake in error.errors(include_url=False, include_input=False):
        names = [PREFIX + str(part).upper() for part in mistake["loc"]]
        sys.stderr.write(f"bad setting: {' '.join(names) or 'together'}: {mistake['msg']}\n")
    raise BadSettings(2)


@cache
def described() -> list[tuple[str, str, str]]:
    """(environment variable, default, meaning) of every setting, in order."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=False)
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if field.is_required() or default is None or field.default_factory else str(default)
        rows.append((PREFIX + name.upper(), shown, field.description or ""))
    return rows
