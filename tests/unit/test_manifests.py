"""deploy/ is what Kubernetes, KEDA and our own code take, and mistakes in it are found."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import deployable
from tests.support.kustomize import Object, containers, render
from tests.support.manifests import ROLES, offences, one

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted((ROOT / "deploy/overlays").iterdir())
POD, MAIN = "spec.template.spec", "spec.template.spec.containers.0"


@pytest.fixture(scope="module")
def production() -> list[Object]:
    return render(ROOT / "deploy/overlays/production")


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_nothing_is_wrong_with_an_overlay(overlay: Path) -> None:
    assert offences(render(overlay)) == []


def test_production_loses_nothing_with_one_broker(production: list[Object]) -> None:
    [settings] = [each["data"] for each in production if each["kind"] == "ConfigMap"]
    assert settings["WAITING_ROOM_KAFKA_REPLICATION_FACTOR"] == "3"
    assert settings["WAITING_ROOM_KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    assert settings["WAITING_ROOM_KAFKA_CLINIC_PARTITIONS"] == "512"


def test_every_secret_is_in_the_manual(production: list[Object]) -> None:
    manual = (ROOT / "docs/deploying.md").read_text()
    for each in production:
        for container in containers(each):
            for variable in container["env"]:
                reference = variable["valueFrom"]["secretKeyRef"]
                assert f"`{reference['key']}`" in manual
                assert f"`{reference['name']}`" in manual


@pytest.mark.parametrize("role", ROLES)
def test_a_role_asks_for_what_the_manual_says_it_measured(production: list[Object], role: str) -> None:
    [row] = [
        line
        for line in (ROOT / "docs/deploying.md").read_text().splitlines()
        if re.match(rf"\| {role} \| .* ms ", line)
    ]
    deployment = one(production, "Deployment", role)
    assert deployment is not None
    requests = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert f"| {requests['cpu']}, {requests['memory']} |" in row


def put(path: str, value: Any) -> Callable[[Object], None]:
    """Plant ``value`` at ``path``; None takes away what is there."""

    def plant(each: Object) -> None:
        *way, last = path.split(".")
        place: Any = each
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if value is None:
            del place[int(last) if isinstance(place, list) else last]
        else:
            place[int(last) if isinstance(place, list) else last] = value

    return plant


TRIGGER = "spec.triggers.0.metadata"
DOWN = "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown"
REQUESTS = {"type": "prometheus", "metadata": {"serverAddress": "http://prometheus", "query": "up", "threshold": "9"}}
OTHER_SECRET = {"secretKeyRef": {"name": "ingress", "key": "kafka-password"}}


@pytest.mark.parametrize(
    ("kind", "name", "plant", "complaint"),
    [
        # Kubernetes' and KEDA's schemas
        ("Deployment", "hold", put(f"{MAIN}.livenesProbe", {}), "'livenesProbe' was unexpected"),
        ("Deployment", "hold", put("spec.minReadySeconds", "ten"), "spec.minReadySeconds"),
        ("Job", "migrate", put("spec.backOffLimit", 3), "'backOffLimit' was unexpected"),
        ("PodDisruptionBudget", "hold", put("spec.maxUnavaliable", 1), "'maxUnavaliable' was unexpected"),
        ("NetworkPolicy", "world", put("spec.egress.0.port", []), "'port' was unexpected"),
        ("Service", "ingress", put("apiVersion", "v2"), "Couldn't find schema for kind Service"),
        ("ScaledObject", "confirm", put("spec.maxReplicas", 9), "'maxReplicas' was unexpected"),
        ("ScaledObject", "confirm", put("spec.triggers.0.metricTypes", "Value"), "'metricTypes' was unexpected"),
        ("ScaledObject", "confirm", put(f"{TRIGGER}.ignoreNullValues", False), "False is not of type 'string'"),
        (
            "ScaledObject",
            "confirm",
            put(f"{TRIGGER}.ignoreNullValue", "false"),
            "no prometheus scaler reads ignoreNullValue",
        ),
        ("ScaledObject", "confirm", put(f"{TRIGGER}.threshold", None), "prometheus: threshold must be given"),
        ("ScaledObject", "ingress", put(f"{TRIGGER}.type", "Utilization"), "no cpu scaler reads type"),
        # Settings and secrets
        (
            "ConfigMap",
            "settings",
            put("data.WAITING_ROOM_METRICS_HOST", None),
            "hold: WAITING_ROOM_METRICS_HOST must be",
        ),
        (
            "ConfigMap",
            "settings",
            put("data.WAITING_ROOM_METRIC_HOST", "::"),
            "no process reads WAITING_ROOM_METRIC_HOST",
        ),
        ("ConfigMap", "settings", put("data.WAITING_ROOM_METRICS_PORT", "many"), "valid integer"),
        ("ConfigMap", "settings", put("data.WAITING_ROOM_NOTIFY_EMAIL_FROM", None), "NOTIFY_EMAIL_FROM must be set"),
        ("ConfigMap", "settings", put("data.WAITING_ROOM_OPS_FROM_LOOPBACK", "true"), "would show /ops to everybody"),
        ("ConfigMap", "settings", put("data.WAITING_ROOM_REF_SECRET", "x" * 40), "no secret's place"),
        (
            "Deployment",
            "ingress",
            put(f"{MAIN}.env.3", None),
            "Deployment ingress: WAITING_ROOM_REF_SECRET must be set",
        ),
        ("Deployment", "relay", put(f"{MAIN}.env.1.valueFrom", OTHER_SECRET), "reads the secret of ingress"),
        ("Deployment", "sweep", put(f"{MAIN}.envFrom.0.configMapRef.name", "setting"), "there is no ConfigMap setting"),
        # Pods
        ("Deployment", "hold", put(f"{MAIN}.securityContext.readOnlyRootFilesystem", False), "is not restricted"),
        ("Deployment", "hold", put(f"{MAIN}.resources.requests", None), "says not what it needs"),
        ("Deployment", "hold", put(f"{MAIN}.image", "waiting-room"), "says no version"),
        ("Deployment", "hold", put(f"{MAIN}.args", ["workers", "relay"]), "hold: runs"),
        ("Deployment", "hold", put(f"{POD}.topologySpreadConstraints", []), "may be in one place"),
        ("Deployment", "hold", put(f"{POD}.terminationGracePeriodSeconds", 20), "is killed before the 25 s"),
        (
            "ConfigMap",
            "settings",
            put("data.WAITING_ROOM_SHUTDOWN_SECONDS", "60"),
            "ingress: is killed before the 80 s",
        ),
        ("Deployment", "ingress", put(f"{MAIN}.lifecycle", {}), "callers still come while it stops"),
        ("PodDisruptionBudget", "hold", put("spec.selector.matchLabels.app", "x"), "its budget selects other pods"),
        ("Deployment", "hold", put(f"{MAIN}.readinessProbe.httpGet.path", "/healthz"), "readinessProbe asks /healthz"),
        ("Deployment", "hold", put(f"{MAIN}.livenessProbe.httpGet.port", "http"), "livenessProbe asks at no port"),
        ("Deployment", "hold", put(f"{MAIN}.ports.0.containerPort", 9090), "not the port that is named or scraped"),
        # Scaling
        ("Deployment", "confirm", put("spec.replicas", 2), "set its replicas back"),
        ("ScaledObject", "confirm", put("spec.maxReplicaCount", 513), "513 replicas for 512 partitions"),
        ("ScaledObject", "confirm", put(f"{TRIGGER}.ignoreNullValues", "true"), "missing metric would be zero"),
        (
            "ScaledObject",
            "confirm",
            put(f"{TRIGGER}.query", "sum(waiting_room_lag)"),
            "nothing records waiting_room_lag",
        ),
        ("ScaledObject", "confirm", put(f"{TRIGGER}.query", "sum(waiting_room_calls_needed"), "confirm: sum("),
        ("ScaledObject", "confirm", put("spec.fallback", None), "fewer workers when Prometheus is away"),
        ("ScaledObject", "confirm", put(f"{DOWN}.stabilizationWindowSeconds", 0), "scales in fast"),
        ("ScaledObject", "ingress", put("spec.triggers.0", REQUESTS), "ingress: scales by prometheus"),
        # Network
        ("NetworkPolicy", "deny", put("spec.egress", [{}]), "may reach everything"),
        ("NetworkPolicy", "world", put("spec.podSelector.matchExpressions.0.values", ["ingress"]), "lets ingress into"),
        (
            "NetworkPolicy",
            "hot-tier",
            put("spec.podSelector.matchExpressions.0.values", ["hold"]),
            "VALKEY_URL at 6379",
        ),
        ("NetworkPolicy", "servers", put("spec.egress.2", None), "Job migrate: no policy lets it reach"),
        ("NetworkPolicy", "mail", put("spec.egress.0.ports.1.port", 25), "WAITING_ROOM_NOTIFY_SMTP_URL at 587"),
    ],
)
def test_a_mistake_is_found(
    production: list[Object], kind: str, name: str, plant: Callable[[Object], None], complaint: str
) -> None:
    objects = copy.deepcopy(production)
    chosen = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].startswith(name)]
    plant(chosen[0])
    assert complaint in "\n".join(offences(objects))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget"])
def test_no_role_may_be_forgotten(production: list[Object], role: str, kind: str) -> None:
    left = [each for each in production if each is not one(production, kind, role)]
    assert f"{role}: no Deployment or no PodDisruptionBudget" in offences(left)


def test_make_check_says_where_a_mistake_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "-m tests.support.deployable" in (ROOT / "Makefile").read_text()
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    assert deployable.main(tmp_path) == 0
    assert "production, staging" in capsys.readouterr().out
    for file, written, planted in (
        ("deploy/base/hold.yaml", "  replicas: 2", "  replicsa: 2"),
        ("compose.yaml", "  WAITING_ROOM_METRICS_HOST: 0.0.0.0\n", ""),
    ):
        path = tmp_path / file
        path.write_text(path.read_text().replace(written, planted))
    assert deployable.main(tmp_path) == 1
    said = capsys.readouterr().out
    assert "compose.yaml: hold: WAITING_ROOM_METRICS_HOST must be set" in said
    assert "deploy/overlays/production: Deployment hold: Kubernetes 1.33: spec: " in said
    assert "deploy/overlays/staging: Deployment hold: " in said
