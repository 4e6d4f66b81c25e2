"""What is wrong with the objects of an overlay: against Kubernetes' and KEDA's schemas, and against our own code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from prometheus_client import REGISTRY

import waiting_room.telemetry.metrics  # noqa: F401 - registers every metric
from dashboards.promql import NotPromql, selectors
from dashboards.rule_files import rules
from tests.support import told
from tests.support.kustomize import Object, containers, template_of
from waiting_room.settings import PREFIX, Settings
from workers.assemble import Role
from workers.supervise.supervisor import MARGIN_SECONDS

ROOT = Path(__file__).parents[2]
KUBERNETES = ("1.33", "1.37")
"""The oldest and the newest version that deploy/ is for."""
ROLES = ("ingress", *Role)
_LENT = {"migrate": ("topics",), "storage": ("migrate", "topics")}
"""Whose secrets a job reads beside its own."""
SLOW_SCALE_IN_SECONDS = 300
SPOKEN_TO = {
    "KAFKA_BOOTSTRAP": 9093,
    "POSTGRES_DSN": 5432,
    "VALKEY_URL": 6379,
    "ELIGIBILITY_URL": 443,
    "NOTIFY_SMTP_URL": 587,
    "NOTIFY_SMS_URL": 443,
    "NOTIFY_PUSH_URL": 443,
}
"""Settings that name a server, and the port it is spoken to at."""
RESTRICTED = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
PROBES = {
    "worker": {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"},
    # With Kafka away ingress still answers, and says what became of a booking: ADR 11.
    "ingress": {"startupProbe": "/readyz", "readinessProbe": "/healthz", "livenessProbe": "/healthz"},
}


def offences(objects: list[Object]) -> list[str]:
    """One line each; none if all is well."""
    wrong = [f"{name_of(each)}: {mistake}" for each in objects for mistake in _schema(each)]
    if wrong:
        return wrong
    for check in (_settings, _security, _roles, _probes, _scaling, _network):
        wrong += check(objects)
    return wrong


def name_of(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['name']}"


def one(objects: list[Object], kind: str, name: str) -> Object | None:
    """The object of that kind and name, if there is one."""
    return next((each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name), None)


def environment(objects: list[Object], container: Object) -> dict[str, str]:
    """What the container's process is told, with something plausible where a secret will be."""
    env: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if (config := one(objects, "ConfigMap", source["configMapRef"]["name"])) is not None:
            env |= config["data"]
    for each in container.get("env", ()):
        reference = each.get("valueFrom", {}).get("secretKeyRef", {})
        if not reference.get("optional"):
            env[each["name"]] = each.get("value") or _secret(reference)
    return env


def _secret(reference: dict[str, Any]) -> str:
    if reference["key"] == "postgres-dsn":
        return f"postgresql://{told.login_of(reference['name'])}:p@postgres.example/waiting_room"
    return "s" * 40


def _schema(each: Object) -> Iterator[str]:
    if each["apiVersion"].startswith("keda.sh/"):
        for error in jsonschema.Draft202012Validator(_keda()).iter_errors(each):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for trigger in each["spec"].get("triggers", ()):
            yield from _trigger(trigger)
        return
    yield from _core_schema(json.dumps(each))


def _trigger(trigger: Object) -> Iterator[str]:
    """To the CRD any word will do here; KEDA's scalers know theirs."""
    known = json.loads((ROOT / "tests/schemas/keda-scalers.json").read_text())["scalers"]
    parameters = {
        each["name"]: each
        for scaler in known
        if scaler["type"] == trigger["type"]
        for each in scaler["parameters"]
        if each.get("metadataVariableReadable") and "deprecated" not in each
    }
    yield from (f"no {trigger['type']} scaler reads {each}" for each in trigger["metadata"] if each not in parameters)
    needed = {name for name, each in parameters.items() if not each.get("optional") and "default" not in each}
    yield from (f"{trigger['type']}: {each} must be given" for each in sorted(needed - trigger["metadata"].keys()))


@cache
def _core_schema(text: str) -> list[str]:
    """Text, so that what has been looked at once is known."""
    wrong, each = [], json.loads(text)
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"Kubernetes {version}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            wrong.append(error.message)
    return wrong


@cache
def _keda() -> dict[str, Any]:
    definition = yaml.safe_load((ROOT / "tests/schemas/keda.sh_scaledobjects.yaml").read_text())
    [version] = definition["spec"]["versions"]
    schema: dict[str, Any] = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _strict(schema: Any) -> Any:
    """A cluster drops what it does not know; here that is a mistake."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if "properties" in strict and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def _settings(objects: list[Object]) -> Iterator[str]:
    for each in objects:
        for container in containers(each):
            what = told.what_runs(container.get("args", []))
            if what is None:
                yield f"{name_of(each)}: runs no program of ours"
                continue
            yield from told.offences(name_of(each), what, environment(objects, container))
            yield from told.stuck(name_of(each), what, {named["name"] for named in container.get("env", ())})
            for source in container.get("envFrom", ()):
                if one(objects, "ConfigMap", source["configMapRef"]["name"]) is None:
                    yield f"{name_of(each)}: there is no ConfigMap {source['configMapRef']['name']}"
            owned = {each["metadata"]["name"], *_LENT.get(each["metadata"]["name"], ())}
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference is None:
                    yield f"{name_of(each)}: {variable['name']} belongs into settings.env or a secret"
                elif reference["name"] not in owned:
                    yield f"{name_of(each)}: reads the secret of {reference['name']}"
    for config in (each for each in objects if each["kind"] == "ConfigMap"):
        if config["data"].get(PREFIX + "OPS_FROM_LOOPBACK") != "false":
            yield "a proxy in the pod would show /ops to everybody"
        yield from (f"{key} is no secret's place" for key in config["data"] if re.search("PASSWORD|SECRET|DSN", key))


def _security(objects: list[Object]) -> Iterator[str]:
    for each in objects:
        for container in containers(each):
            pod = template_of(each)["spec"]
            if container.get("securityContext") != RESTRICTED or not pod.get("securityContext", {}).get("runAsNonRoot"):
                yield f"{name_of(each)}: is not restricted"
            if pod.get("automountServiceAccountToken") is not False:
                yield f"{name_of(each)}: gets a token"
            resources = container.get("resources", {})
            if not (
                {"cpu", "memory"} <= resources.get("requests", {}).keys() and "memory" in resources.get("limits", {})
            ):
                yield f"{name_of(each)}: says not what it needs"
            if not re.search(r"(:\d[\w.-]*|@sha256:[0-9a-f]{64})$", container["image"]):
                yield f"{name_of(each)}: {container['image']} says no version"


def _roles(objects: list[Object]) -> Iterator[str]:
    """Each runs, spreads, may be disrupted one at a time, and has the time to stop in order."""
    yield from (f"no Job {name}" for name in ("migrate", "topics") if one(objects, "Job", name) is None)
    if one(objects, "CronJob", "storage") is None:
        yield "no CronJob storage"
    for role in ROLES:
        deployment, budget = one(objects, "Deployment", role), one(objects, "PodDisruptionBudget", role)
        if deployment is None or budget is None:
            yield f"{role}: no Deployment or no PodDisruptionBudget"
            continue
        template = deployment["spec"]["template"]
        [container] = template["spec"]["containers"]
        labels = template["metadata"]["labels"]
        for who, selector in (("it", deployment["spec"]["selector"]), ("its budget", budget["spec"]["selector"])):
            if selector["matchLabels"].items() - labels.items():
                yield f"{role}: {who} selects other pods"
        if told.what_runs(container["args"]) != role:
            yield f"{role}: runs {container['args']}"
        keys = {each["topologyKey"] for each in template["spec"].get("topologySpreadConstraints", ())}
        if not {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} <= keys:
            yield f"{role}: all its pods may be in one place"
        hook_seconds = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if role == "ingress" and not hook_seconds:
            yield f"{role}: callers still come while it stops"
        env = environment(objects, container)
        shutdown_seconds = float(env.get(PREFIX + "SHUTDOWN_SECONDS", Settings().shutdown_seconds))
        needed_seconds = hook_seconds + shutdown_seconds + MARGIN_SECONDS
        if template["spec"].get("terminationGracePeriodSeconds", 30) < needed_seconds:
            yield f"{role}: is killed before the {needed_seconds:g} s it may take to stop"


def _probes(objects: list[Object]) -> Iterator[str]:
    for role in ROLES:
        if (deployment := one(objects, "Deployment", role)) is None:
            continue
        template = deployment["spec"]["template"]
        [container] = template["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
        setting = "INGRESS_PORT" if role == "ingress" else "METRICS_PORT"
        listens = environment(objects, container).get(PREFIX + setting)
        annotations = template["metadata"].get("annotations", {})
        if [*map(str, ports.values())] != [listens] or annotations.get("prometheus.io/port") != listens:
            yield f"{role}: listens on {listens}, which is not the port that is named or scraped"
        for kind in PROBES["worker"]:
            probe = container.get(kind, {}).get("httpGet")
            if probe is None or probe["port"] not in ports:
                yield f"{role}: {kind} asks at no port of it"
                continue
            wants = PROBES["ingress" if role == "ingress" else "worker"][kind]
            if probe["path"] != wants:
                yield f"{role}: {kind} asks {probe['path']}, not {wants}"
    service = one(objects, "Service", "ingress")
    if service is None or [port["targetPort"] for port in service["spec"]["ports"]] != ["http"]:
        yield "ingress: no Service leads to it"


def _scaling(objects: list[Object]) -> Iterator[str]:
    known = {rule.name for rule in rules() if not rule.alert} | {family.name for family in REGISTRY.collect()}
    for role in ("ingress", "confirm"):
        scaled, deployment = one(objects, "ScaledObject", role), one(objects, "Deployment", role)
        if scaled is None or deployment is None or scaled["spec"]["scaleTargetRef"]["name"] != role:
            yield f"{role}: nothing scales it"
            continue
        spec = scaled["spec"]
        if "replicas" in deployment["spec"]:
            yield f"{role}: every deployment would set its replicas back"
        if not 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]:
            yield f"{role}: from {spec['minReplicaCount']} to {spec['maxReplicaCount']} replicas"
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        if down["stabilizationWindowSeconds"] < SLOW_SCALE_IN_SECONDS or [
            each["value"] for each in down["policies"]
        ] != [1]:
            yield f"{role}: scales in fast"
        [trigger] = spec["triggers"]
        if trigger["type"] != {"ingress": "cpu", "confirm": "prometheus"}[role]:
            yield f"{role}: scales by {trigger['type']}"
        elif role == "confirm":
            yield from _by_need(spec, trigger, environment(objects, containers(deployment)[0]), known)


def _by_need(spec: Object, trigger: Object, env: dict[str, str], known: set[str]) -> Iterator[str]:
    told_of, partitions = trigger["metadata"], int(env[PREFIX + "KAFKA_CLINIC_PARTITIONS"])
    if spec["maxReplicaCount"] > partitions:
        yield f"confirm: {spec['maxReplicaCount']} replicas for {partitions} partitions"
    if told_of.get("ignoreNullValues") != "false":
        yield "confirm: a missing metric would be zero workers"
    if (told_of.get("threshold"), trigger.get("metricType")) != ("1", "AverageValue"):
        yield "confirm: the number is not the number of workers"
    if spec.get("fallback", {}).get("replicas", 0) < spec["minReplicaCount"]:
        yield "confirm: fewer workers when Prometheus is away"
    try:
        named = {selector.name for selector in selectors(told_of["query"])}
    except NotPromql as error:
        yield f"confirm: {error}"
        return
    yield from (f"confirm: nothing records {name}" for name in sorted(named - known))


def _network(objects: list[Object]) -> Iterator[str]:
    policies = [each for each in objects if each["kind"] == "NetworkPolicy"]
    if not any(each["spec"]["podSelector"] == {} and "egress" not in each["spec"] for each in policies):
        yield "who is not mentioned may reach everything"
    for each in policies:
        world = any(
            "ipBlock" in peer for rule in each["spec"].get("egress", ()) for peer in rule.get("to", ({"ipBlock": 0},))
        )
        chosen = each["spec"]["podSelector"].get("matchExpressions", [{"values": ["everybody"]}])[0]["values"]
        if world and set(chosen) not in ({"confirm", "webhooks", "notify", "sweep"}, {"notify"}):
            yield f"{name_of(each)}: lets {', '.join(chosen)} into the world"
    for each in objects:
        for container in containers(each):
            told_of = {*environment(objects, container), *(variable["name"] for variable in container.get("env", ()))}
            labels = template_of(each)["metadata"]["labels"]
            open_ports = {port for policy in policies if _selects(policy, labels) for port in _egress_ports(policy)}
            for setting, port in SPOKEN_TO.items():
                if PREFIX + setting in told_of and port not in open_ports:
                    yield f"{name_of(each)}: no policy lets it reach {PREFIX}{setting} at {port}"


def _selects(policy: Object, labels: dict[str, str]) -> bool:
    selector = policy["spec"]["podSelector"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def _egress_ports(policy: Object) -> set[int]:
    return {port["port"] for rule in policy["spec"].get("egress", ()) for port in rule.get("ports", ())}
