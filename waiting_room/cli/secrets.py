"""``secrets``: what a new stack of containers needs, made at random, for compose.yaml to read."""

from __future__ import annotations

import os
import secrets as random_secrets
from pathlib import Path
from typing import Annotated

import typer

from waiting_room.cli.run import exit_with

NAMES = (
    "POSTGRES_PASSWORD",
    "WAITING_ROOM_POSTGRES_ROLE_PASSWORD",
    "WAITING_ROOM_REF_SECRET",
    "WAITING_ROOM_NOTIFY_LINK_SECRET",
    "WAITING_ROOM_MASTER_KEY",
    "WAITING_ROOM_PATIENT_SECRET",
    "GRAFANA_ADMIN_PASSWORD",
)
_BYTES = 32
"""In base64 that is 43 characters, of those that need no escaping in a URL or a shell."""


def secrets(
    out: Annotated[Path | None, typer.Option(help="Write them to this file, which must not be there yet.")] = None,
) -> None:
    """Make the secrets of a new stack: NAME=VALUE lines, as compose.yaml reads them from .env."""
    text = "".join(f"{name}={random_secrets.token_urlsafe(_BYTES)}\n" for name in NAMES)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        exit_with(1, f"{out} is there already; what it holds is in use, so it is changed by hand (docs/deploying.md)")
    except OSError as error:
        exit_with(2, f"{out}: {error.strerror}")
    with open(descriptor, "w") as file:
        file.write(text)
    typer.echo(f"wrote {out}")
