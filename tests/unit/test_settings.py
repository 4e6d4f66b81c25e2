"""Settings: wrong ones end the process with one readable line each, and no secret is ever printed."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from waiting_room import settings
from waiting_room.settings import PREFIX, BadSettings, Settings, described
from workers.__main__ import missing
from workers.assemble import Role


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_the_defaults_are_valid() -> None:
    assert settings.load().kafka_clinic_partitions == 24


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITING_ROOM_HOLD_BATCH_MAX", "17")
    monkeypatch.setenv("WAITING_ROOM_REF_SECRET", "x" * 32)
    loaded = settings.load()
    assert loaded.hold_batch_max == 17
    assert "x" * 32 not in repr(loaded)


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"KAFKA_CLINIC_PARTITIONS": "many"}, "bad setting: WAITING_ROOM_KAFKA_CLINIC_PARTITIONS: Input should be"),
        ({"KAFKA_CLINIC_PARTITIONS": "0"}, "bad setting: WAITING_ROOM_KAFKA_CLINIC_PARTITIONS: "),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "bad setting: WAITING_ROOM_KAFKA_SECURITY_PROTOCOL: "),
        ({"REF_SECRET": "hunter2"}, "bad setting: WAITING_ROOM_REF_SECRET: Value error, must have 32 to 64 characters"),
        ({"REF_SECRETS_RETIRED": f"{'x' * 32},hunter2"}, "bad setting: WAITING_ROOM_REF_SECRETS_RETIRED: Value error"),
        ({"LOG_LEVEL": "loud"}, "bad setting: WAITING_ROOM_LOG_LEVEL: "),
        ({"WEBHOOK_RETRY_SECONDS": "5,soon"}, "bad setting: WAITING_ROOM_WEBHOOK_RETRY_SECONDS: "),
        ({"WEBHOOK_ALLOW_NETWORKS": "everywhere"}, "bad setting: WAITING_ROOM_WEBHOOK_ALLOW_NETWORKS: "),
        ({"CLINIC_CALL_SECONDS": "15", "CLINIC_LEASE_SECONDS": "15"}, "clinic_lease_seconds must be more than"),
        ({"INGRESS_ANSWER_WITHIN_MS": "1000"}, "ingress_answer_within_ms must not be less than"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "kafka_sasl_username and kafka_sasl_password go with a SASL"),
        ({"CONFIRM_WORKERS_MIN": "5"}, "confirm_workers_min must not be more than confirm_workers_max"),
        ({"KAFKA_MIN_INSYNC_REPLICAS": "2"}, "kafka_min_insync_replicas must not be more than"),
        ({"KAFKA_BOOTSTRAP": "PLAINTEXT://kafka:9092"}, "WAITING_ROOM_KAFKA_BOOTSTRAP: Value error, must be host:port"),
        ({"KAFKA_BOOTSTRAP": "kafka-0:9092,"}, "WAITING_ROOM_KAFKA_BOOTSTRAP: Value error, must be host:port"),
        ({"KAFKA_BOOTSTRAP": "kafka:port"}, "WAITING_ROOM_KAFKA_BOOTSTRAP: Value error, has no port from 1 to 65535"),
        ({"POSTGRES_DSN": "host=db password=hunter2"}, "WAITING_ROOM_POSTGRES_DSN: Value error, must begin with"),
        (
            {"POSTGRES_DSN": "postgresql://hold:hunter2@db:99999/x"},
            "WAITING_ROOM_POSTGRES_DSN: Value error, has no port",
        ),
        ({"POSTGRES_DSN": "postgresql://hold:hunter2/1@db/x"}, "a password"),
        ({"POSTGRES_DSN": "postgresql://[hunter2/x"}, "WAITING_ROOM_POSTGRES_DSN: Value error, is no address"),
        ({"NOTIFY_SMTP_URL": "mail.example"}, "WAITING_ROOM_NOTIFY_SMTP_URL: Value error, must begin with smtp://"),
        (
            {"NOTIFY_SMS_URL": "sms.example/hunter2"},
            "WAITING_ROOM_NOTIFY_SMS_URL: Value error, must begin with http://",
        ),
        ({"NOTIFY_PUBLIC_URL": "book.example"}, "WAITING_ROOM_NOTIFY_PUBLIC_URL: Value error, must begin with http://"),
        ({"OTLP_ENDPOINT": "collector:4318"}, "WAITING_ROOM_OTLP_ENDPOINT: Value error, must begin with http://"),
        ({"OPS_METRICS_URLS": "http://hold/metrics,confirm"}, "WAITING_ROOM_OPS_METRICS_URLS: Value error, must begin"),
    ],
)
def test_a_mistake_is_one_readable_line(
    environment: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(BadSettings) as refused:
        settings.load()
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("bad setting: ")
    assert line in said
    assert said.count("\n") == 1
    assert "hunter2" not in said


def test_a_file_that_is_not_there_is_told_by_who_is_to_read_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = "postgresql://hold:hunter2@db/x?sslmode=verify-full&sslrootcert=/nowhere/db.crt"
    monkeypatch.setenv("WAITING_ROOM_KAFKA_SSL_CAFILE", "/nowhere/kafka.crt")
    monkeypatch.setenv("WAITING_ROOM_POSTGRES_DSN", dsn)
    assert Settings().kafka_ssl_cafile
    with pytest.raises(BadSettings):
        settings.load()
    assert capsys.readouterr().err.splitlines() == [
        "bad setting: WAITING_ROOM_KAFKA_SSL_CAFILE: /nowhere/kafka.crt: No such file or directory",
        "bad setting: WAITING_ROOM_POSTGRES_DSN: /nowhere/db.crt: No such file or directory",
    ]


def test_addresses_are_taken_in_every_form_that_clients_take() -> None:
    for brokers in ("kafka", "kafka-0:9092, kafka-1:9092", "[::1]:9092", "::1"):
        assert Settings(kafka_bootstrap=brokers).kafka_bootstrap == brokers
    for dsn in (
        "postgresql:///waiting_room?host=/run/postgresql",
        "postgres://a:b%2Fc@[::1]:5432/x",
        "postgresql://a@one:5432,two/x?sslmode=verify-full",
    ):
        assert Settings(postgres_dsn=SecretStr(dsn)).postgres_dsn.get_secret_value() == dsn


def test_each_mistake_has_its_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WAITING_ROOM_INGRESS_PORT", "99999")
    monkeypatch.setenv("WAITING_ROOM_KAFKA_REPLICATION_FACTOR", "0")
    with pytest.raises(BadSettings):
        settings.load()
    assert capsys.readouterr().err.count("\n") == 2


def test_every_setting_is_described() -> None:
    rows = described()
    assert [name for name, _, _ in rows] == [PREFIX + name.upper() for name in Settings.model_fields]
    assert all(meaning.endswith(".") for _, _, meaning in rows)


def test_a_default_that_differs_by_machine_is_not_shown() -> None:
    assert {name: default for name, default, _ in described()}["WAITING_ROOM_WORKER_ID"] == ""


def test_roles_that_open_what_is_sealed_do_not_start_without_their_keys() -> None:
    nothing = Settings(master_key=None, patient_secret=None)
    wanting = {role: [setting for setting, _ in missing([role], nothing)] for role in Role}
    assert {role: settings for role, settings in wanting.items() if settings} == {
        Role.HOLD: ["master_key", "patient_secret"],
        Role.CONFIRM: ["master_key"],
        Role.WEBHOOKS: ["master_key"],
        Role.NOTIFY: ["master_key"],
        Role.SWEEP: ["master_key"],
    }
    assert not missing(list(Role), Settings(master_key=SecretStr("m" * 32), patient_secret=SecretStr("p" * 32)))


def test_links_hold_under_each_secret_that_is_named_and_are_signed_with_the_first() -> None:
    now, before, after = (letter * 32 for letter in "nba")
    told = Settings(notify_link_secret=SecretStr(now), notify_link_secrets_retired=SecretStr(f"{before}, {after},"))
    assert told.link_secrets == (now, before, after)
    with pytest.raises(ValidationError, match="32 characters"):
        Settings(notify_link_secrets_retired=SecretStr(f"{before}, short" + " " * 32))


def test_a_pass_is_put_in_no_address_that_servers_see() -> None:
    assert Settings(notify_booking_link="https://app.example/b#{pass}").notify_booking_link
    with pytest.raises(ValidationError, match="behind a #"):
        Settings(notify_booking_link="https://app.example/b?pass={pass}")
