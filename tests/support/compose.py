"""What is wrong with a compose file: against the specification, against Settings, and against the embedded stack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from devstack import roles
from devstack.roles import Secrets
from devstack.world import Shape
from tests.support import told
from tests.support.told import ROLES
from waiting_room.cli.secrets import NAMES
from waiting_room.settings import PREFIX

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests/schemas/compose-spec.json").read_text())
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "user": "10001:10001"}
ADDRESSES = {"KAFKA_BOOTSTRAP", "POSTGRES_DSN", "INGRESS_HOST", "INGRESS_PORT", "METRICS_HOST", "METRICS_PORT"}
ADDRESSES |= {"OPS_METRICS_URLS", "WEBHOOK_ALLOW_NETWORKS", "REF_SECRET", "NOTIFY_LINK_SECRET"}
ADDRESSES |= {
    "MASTER_KEY",
    "PATIENT_SECRET",
    "VALKEY_URL",
    "ELIGIBILITY_URL",
    "NOTIFY_SMTP_URL",
    "NOTIFY_SMS_URL",
    "NOTIFY_PUSH_URL",
    "NOTIFY_PUBLIC_URL",
}
"""What cannot be the same in a container; the rest must be."""
_RETIRED = {"REF_SECRETS_RETIRED", "NOTIFY_LINK_SECRETS_RETIRED", "MASTER_KEYS_RETIRED"}
"""Set while a secret is rotated, and empty else."""
ADDRESSES |= _RETIRED
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(:\?[^}]*|:-)?\}")
_FIXED = re.compile(r"[\w./-]+:v?\d+(\.\d+)*(-[\w.]+)?")

Compose = dict[str, Any]


def load(text: str) -> Compose:
    """As compose reads it, before it fills in variables."""
    loaded: Compose = yaml.safe_load(text)
    return loaded


def offences(compose: Compose) -> list[str]:
    """One line each; none if all is well."""
    wrong = [
        f"{'.'.join(map(str, error.absolute_path)) or 'top'}: {error.message}"
        for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(compose)
    ]
    if wrong:
        return wrong
    for check in (_settings, _embedded, _addresses, _order, _containers, _files, _scraping):
        wrong += check(compose)
    return wrong


def ours(compose: Compose) -> dict[str, tuple[str, dict[str, str]]]:
    """(what it runs, environment) of each service that runs a program of ours. A role's is the role."""
    found = {}
    for name, service in compose["services"].items():
        if (what := told.what_runs(service.get("command", []))) is not None:
            found[name] = (what, {key: str(value) for key, value in service.get("environment", {}).items()})
    return found


def _settings(compose: Compose) -> Iterator[str]:
    for name, (what, env) in ours(compose).items():
        yield from told.offences(name, what, {each: _VARIABLE.sub("x" * 40, value) for each, value in env.items()})
        yield from told.stuck(name, what, env)
        if what == "migrate" and PREFIX + "POSTGRES_ROLE_PASSWORD" not in env:
            yield f"{name}: no role could log in"


def _embedded(compose: Compose) -> Iterator[str]:
    """Every role of the embedded stack runs, with the settings it has there."""
    found = {what: (name, env) for name, (what, env) in ours(compose).items()}
    yield from (f"no service runs {role}" for role in ROLES if role not in found)
    for role in ("ingress", *roles.WORKER_ROLES):
        if role not in found:
            continue
        name, env = found[role]
        embedded = _embedded_env(role)
        for each in sorted(embedded):
            if each not in env:
                yield f"{name}: {each} is set in the embedded stack and not here"
            elif each.removeprefix(PREFIX) not in ADDRESSES and env[each] != embedded[each]:
                yield f"{name}: {each} is {env[each]}, and {embedded[each]} in the embedded stack"
        extra = env.keys() - embedded.keys() - {PREFIX + each for each in ADDRESSES}
        yield from (f"{name}: {each} is set here and not in the embedded stack" for each in sorted(extra))


def _embedded_env(role: str) -> dict[str, str]:
    env = roles.common_env("kafka:9092", Shape().partitions, roles.gateways_env(1, 2) if role == "notify" else {})
    owner, keys = "postgresql://postgres@postgres/waiting_room", Secrets("r" * 40, "p", "m" * 40, "l" * 40, "t" * 40)
    process, _ = (
        roles.ingress(env, owner, keys, Path()) if role == "ingress" else roles.worker(role, env, owner, keys, Path())
    )
    return {name: value for name, value in (process.env or {}).items() if name.startswith(PREFIX)}


def _addresses(compose: Compose) -> Iterator[str]:
    """Whoever is told of a server is told of one that is there, and who share one of the same."""
    tiers: dict[str, str] = {}
    for name, (what, env) in ours(compose).items():
        for setting, value in env.items():
            for host in re.findall(r"[a-z]+://(?:[^@/,]*@)?([\w.-]+)", value):
                if host not in {*compose["services"], "127.0.0.1"}:
                    yield f"{name}: {setting} names {host}, which is no service"
        if what in ("ingress", "hold"):
            tiers[what] = env.get(PREFIX + "VALKEY_URL", "")
    if len(set(tiers.values())) > 1:
        yield f"the hot tier of ingress is {tiers['ingress']}, and of hold {tiers['hold']}"


def _order(compose: Compose) -> Iterator[str]:
    services: dict[str, Any] = compose["services"]
    for name, service in services.items():
        job = service.get("restart") == "no"
        if not job and "healthcheck" not in service:
            yield f"{name}: nobody can tell whether it is healthy"
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name}: waits for {other}, which is no service"
                continue
            wanted = "completed_successfully" if services[other].get("restart") == "no" else "healthy"
            if how["condition"] != f"service_{wanted}":
                yield f"{name}: waits for {other} by {how['condition']}, not service_{wanted}"
    for name, (what, _) in ours(compose).items():
        before = _before(services, name)
        first = {"migrate", "topics", "kafka", "postgres"} if what in ROLES else set()
        yield from (f"{name}: starts before {other} is done" for other in sorted(first - before))
        if name in before:
            yield f"{name}: waits for itself"


def _before(services: dict[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    ask = [name]
    while ask:
        for other in services.get(ask.pop(), {}).get("depends_on", {}):
            if other not in found:
                found.add(other)
                ask.append(other)
    return found


def _containers(compose: Compose) -> Iterator[str]:
    used = {
        (name, how)
        for name, how in _VARIABLE.findall(json.dumps(compose))
        if name.removeprefix(PREFIX) not in _RETIRED or how != ":-"
    }
    yield from (f"{name} may be empty" for name, how in sorted(used) if not how.startswith(":?"))
    names = {name for name, _ in used}
    yield from (f"{name} is none of `python -m waiting_room secrets`" for name in sorted(names - set(NAMES)))
    yield from (f"nobody reads the secret {name}" for name in sorted(set(NAMES) - names))
    for name, service in compose["services"].items():
        if "build" in service:
            yield from (f"{name}: not {key}: {value}" for key, value in HARDENED.items() if service.get(key) != value)
        elif not _FIXED.fullmatch(service["image"]):
            yield f"{name}: {service['image']} says no version"
        for each, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", each) and not _VARIABLE.fullmatch(str(value)):
                yield f"{name}: {each} is written into the file"
        for port in service.get("ports", ()):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: {port} is open to the network"


def _files(compose: Compose) -> Iterator[str]:
    for name, config in compose.get("configs", {}).items():
        if not (ROOT / config["file"]).is_file():
            yield f"config {name}: there is no {config['file']}"
    for name, service in compose["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./") and not (ROOT / source).is_dir():
                yield f"{name}: there is no {source}"
            elif not source.startswith("./") and source not in compose["volumes"]:
                yield f"{name}: there is no volume {source}"


def _scraping(compose: Compose) -> Iterator[str]:
    """Prometheus knows every role at the port it was told, and so does its health check."""
    prometheus = yaml.safe_load((ROOT / "dashboards/prometheus.yaml").read_text())
    scraped = {
        job["job_name"]: (names[0]["names"], names[0]["port"])
        for job in prometheus["scrape_configs"]
        if (names := job.get("dns_sd_configs"))
    }
    for name, (what, env) in ours(compose).items():
        if what not in ROLES:
            continue
        port = env.get(PREFIX + ("INGRESS_PORT" if what == "ingress" else "METRICS_PORT"))
        if scraped.get(what) != ([name], int(port or 0)):
            yield f"{name}: serves metrics at {port}, and Prometheus looks at {scraped.get(what)}"
        check = " ".join(compose["services"][name].get("healthcheck", {}).get("test", ()))
        if f"127.0.0.1:{port}/readyz" not in check:
            yield f"{name}: its health check does not ask /readyz at {port}"
