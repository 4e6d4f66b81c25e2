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
