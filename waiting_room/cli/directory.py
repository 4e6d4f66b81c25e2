"""``directory``: onboard businesses, show and publish the clinics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from waiting_room import moving, onboarding
from waiting_room.cli import table
from waiting_room.cli.run import No, NotDone, connect, run
from waiting_room.envelope import envelope_of
from waiting_room.kafka import Producer
from waiting_room.onboarding import Onboarding
from waiting_room.republish import republish
from waiting_room.settings import Settings
from waiting_room.store import directory as store
from waiting_room.topics_admin import TopicsWrong

app = typer.Typer(help="Businesses, clinics, providers, apps. Connect as the schema's owner.", no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON; docs/onboarding.md shows one.")],
    secrets: Annotated[
        Path | None,
        typer.Option(help="File for the signing secrets made for new endpoints: JSON, for its owner's eyes only."),
    ] = None,
) -> None:
    """Onboard or change what FILE names; what it leaves out stays as it is."""
    run(lambda settings: _import(settings, file, secrets))


@app.command("list")
def list_() -> None:
    """Show every clinic."""
    run(_list)


@app.command()
def move(
    clinic_id: Annotated[str, typer.Argument(help="The clinic.")],
    partition: Annotated[int, typer.Argument(help="Where its bookings are to go.")],
    wait: Annotated[float, typer.Option(help="Seconds to wait for every ingress, for relay and for hold.")] = 60.0,
) -> None:
    """Move a clinic to another partition, while bookings flow. Run again, it finishes what was begun."""
    run(lambda settings: _move(settings, clinic_id, partition, wait))


@app.command()
def publish() -> None:
    """Write every clinic and key from PostgreSQL to their topics: for a new or a restored cluster."""
    run(_publish)


async def _import(settings: Settings, path: Path, secrets: Path | None) -> None:
    file = _read(path)
    envelope = envelope_of(settings) if settings.master_key else None
    async with connect(settings) as connection:
        try:
            async with connection.transaction():
                done = await store.import_file(connection, file, settings.kafka_clinic_partitions, envelope)
                if secrets is not None and done.secrets:
                    _keep(secrets, done.secrets)  # before the commit: a secret nobody has would be of no use
        except store.Refused as refused:
            raise No(str(refused)) from refused
    typer.echo(
        f"{len(done.new_clinics)} clinics new, {len(done.clinics) - len(done.new_clinics)} changed; "
        f"{done.apps} apps and {done.endpoints} webhook endpoints new or changed"
    )
    if secrets is None:
        for endpoint_id, secret in done.secrets.items():
            typer.echo(f"{endpoint_id} {secret}")


def _read(path: Path) -> Onboarding:
    try:
        return onboarding.read(path.read_bytes())
    except onboarding.BadFile as error:
        raise No("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    except OSError as error:
        raise NotDone(f"{path}: {error.strerror}") from error


def _keep(path: Path, made: Mapping[str, str]) -> None:
    """Add them to what the file holds."""
    try:
        there = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode({**there, **made}))
    except (OSError, msgspec.MsgspecError) as error:
        raise NotDone(f"{path}: {error}") from error


async def _list(settings: Settings) -> None:
    async with connect(settings) as connection:
        clinics = await store.load(connection)
    table.show(
        ("clinic", "status", "adapter", "partition", "providers", "timezone", "name"),
        [
            (each.clinic_id, each.status, each.adapter, each.partition, len(each.providers), each.timezone, each.name)
            for each in clinics
        ],
    )


async def _move(settings: Settings, clinic_id: str, partition: int, wait: float) -> None:
    async with connect(settings) as connection:
        try:
            await moving.move(connection, settings, clinic_id, partition, within_seconds=wait, say=typer.echo)
        except (store.Refused, TopicsWrong) as refused:
            raise No(str(refused)) from refused
        except moving.NotMoved as error:
            raise NotDone(str(error)) from error


async def _publish(settings: Settings) -> None:
    producer = Producer(settings)
    async with connect(settings) as connection:
        await producer.start()
        try:
            async with connection.transaction():
                clinics, keys = await republish(connection, producer)
        finally:
            await producer.stop()
    typer.echo(f"published {clinics} clinics and {keys} keys")
