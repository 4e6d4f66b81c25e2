"""What is wrong with the environment that a program of ours is given, in a container of whatever kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

from pydantic import ValidationError

from waiting_room.settings import PREFIX, Settings, described
from workers.assemble import Role

PROGRAMS = ("ingress", "workers", "waiting_room")
ROLES = ("ingress", *Role, "supervise")


_SEALED = frozenset({"MASTER_KEY", "PATIENT_SECRET"})
"""Who finds patients, and opens or seals what is kept of them."""


def what_runs(command: list[str]) -> str | None:
    """The role, or the command of ``python -m waiting_room``; None if it is no program of ours."""
    program, *arguments = command or [""]
    if program not in PROGRAMS:
        return None
    return program if program == "ingress" else arguments[0]


def offences(name: str, what: str, env: Mapping[str, str]) -> Iterator[str]:
    """Settings that nobody reads, that are refused, or that are missing. ``env`` with its secrets filled in."""
    known = {each for each, _, _ in described()}
    yield from (f"{name}: no process reads {each}" for each in sorted(env) if each not in known)
    try:
        Settings.model_validate({each.removeprefix(PREFIX).lower(): env[each] for each in env if each in known})
    except ValidationError as error:
        yield from (f"{name}: {mistake['loc']}: {mistake['msg']}" for mistake in error.errors())
    yield from (f"{name}: {PREFIX}{each} must be set" for each in sorted(_must(what)) if PREFIX + each not in env)
    dsn = urlsplit(env.get(PREFIX + "POSTGRES_DSN", ""))
    if what in ROLES and dsn.username != login_of(what):
        yield f"{name}: logs in as {dsn.username}, not with the role's own login"


def stuck(name: str, what: str, told: Collection[str]) -> Iterator[str]:
    """Secrets that this process is told one of, where others have used or will use another. ``told``: by name."""
    retired = {"REF_SECRET": "REF_SECRETS_RETIRED", "MASTER_KEY": "MASTER_KEYS_RETIRED"}
    if what == "ingress":  # notify signs links, and reads none
        retired["NOTIFY_LINK_SECRET"] = "NOTIFY_LINK_SECRETS_RETIRED"
    for each, others in retired.items():
        if what in ROLES and PREFIX + each in told and PREFIX + others not in told:
            yield f"{name}: {PREFIX}{each} cannot be rotated"


def login_of(role: str) -> str:
    """Of a role at PostgreSQL. The supervisor has none: its workers inherit its environment."""
    return f"waiting_room_{'confirm' if role == 'supervise' else role}"


def _must(what: str) -> set[str]:
    """Settings that a container cannot leave out: their defaults name the machine itself, or there is none."""
    if what == "ingress":
        return {"KAFKA_BOOTSTRAP", "POSTGRES_DSN", "INGRESS_HOST", "REF_SECRET", *_SEALED, "NOTIFY_LINK_SECRET"}
    if what in ROLES:
        own = {
            "hold": _SEALED,
            "confirm": {"MASTER_KEY"},
            "supervise": {"MASTER_KEY"},
            "webhooks": {"MASTER_KEY"},
            "notify": {"MASTER_KEY", "NOTIFY_EMAIL_FROM", "NOTIFY_PUBLIC_URL", "NOTIFY_LINK_SECRET"},
        }
        return {"KAFKA_BOOTSTRAP", "POSTGRES_DSN", "METRICS_HOST", "METRICS_PORT"} | own.get(what, set())
    return {
        "migrate": {"POSTGRES_DSN"},
        "storage": {"POSTGRES_DSN"},
        "topics": {"KAFKA_BOOTSTRAP", "KAFKA_CLINIC_PARTITIONS"},
        "directory": {"POSTGRES_DSN", "KAFKA_BOOTSTRAP", "KAFKA_CLINIC_PARTITIONS"},
    }[what]
