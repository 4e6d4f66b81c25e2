"""``python -m ingress``: serves the API until SIGTERM or SIGINT, then answers what is under way and stops."""

from __future__ import annotations

import asyncio
import sys

import uvicorn

from ingress.app import create_app
from ingress.server import Server
from waiting_room import settings as setting
from waiting_room.domain.booking_ref import RefSecrets
from waiting_room.settings import PREFIX, BadSettings, Settings
from waiting_room.telemetry import logs, tracing

_KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time after which proxies close a connection, so that they do it and not we."""


def ref_secrets(settings: Settings) -> RefSecrets:
    """What booking_refs are derived with. Raises BadSettings without it."""
    if settings.ref_secret is None:
        sys.stderr.write(f"bad setting: {PREFIX}REF_SECRET: ingress derives booking_refs with it\n")
        raise BadSettings(2)
    retired = settings.ref_secrets_retired.get_secret_value().split(",")
    return RefSecrets(
        settings.ref_secret.get_secret_value().encode(),
        tuple(secret.strip().encode() for secret in retired if secret.strip()),
    )


def require_keys(settings: Settings) -> None:
    """Raises BadSettings without what patients are sealed and found with."""
    for name, what in (
        ("master_key", "seals what a booking says of its patient"),
        ("patient_secret", "finds patients"),
    ):
        if getattr(settings, name) is None:
            sys.stderr.write(f"bad setting: {PREFIX}{name.upper()}: ingress {what} with it\n")
            raise BadSettings(2)


def main() -> None:
    if sys.argv[1:]:
        sys.stderr.write("python -m ingress takes no arguments; `python -m waiting_room config` prints its settings\n")
        raise SystemExit(2)
    settings = setting.load()
    refs = ref_secrets(settings)
    require_keys(settings)
    logs.configure("ingress", settings.log_level)
    tracing.configure(settings, "ingress")
    stopping = asyncio.Event()
    config = uvicorn.Config(
        create_app(settings, refs, stopping),
        host=settings.ingress_host,
        port=settings.ingress_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        proxy_headers=False,  # nothing asks who called, but /ops, which believes no proxy
        access_log=False,  # an address may hold an app's id of a patient, or a secret: a feed's, a link's
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(settings.shutdown_seconds),
    )
    Server(config, stopping, shared=settings.ingress_share_port).run()


if __name__ == "__main__":
    main()
