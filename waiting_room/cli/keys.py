"""``keys``: API keys for apps, clinics and operators."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from waiting_room import announcements
from waiting_room.access import SCOPES_OF, OwnerKind, Scope
from waiting_room.cli import table
from waiting_room.cli.moment import EXAMPLE, moment
from waiting_room.cli.run import No, connect, run
from waiting_room.kafka import Producer
from waiting_room.messages import AccessKey
from waiting_room.settings import Settings
from waiting_room.store import access_keys
from waiting_room.store.access_keys import NewKey, StoredKey, UnknownOwner

app = typer.Typer(help="API keys. Connect as the schema's owner.", no_args_is_help=True)


@app.command()
def create(
    app_id: Annotated[str | None, typer.Option("--app", help="An app's id.")] = None,
    clinic_id: Annotated[str | None, typer.Option("--clinic", help="A clinic's id.")] = None,
    operator: Annotated[str | None, typer.Option("--operator", help="An operator's name.")] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several; without it, all that such a key may have.")
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help=f"RFC 3339, such as {EXAMPLE}.")
    ] = None,
) -> None:
    """Make a key and print its token, which is shown this once."""
    owners = {OwnerKind.APP: app_id, OwnerKind.CLINIC: clinic_id, OwnerKind.OPERATOR: operator}
    given = [(kind, owner_id) for kind, owner_id in owners.items() if owner_id is not None]
    if len(given) != 1:
        raise typer.BadParameter("give one of --app, --clinic and --operator")
    [(kind, owner_id)] = given
    if not owner_id.strip():
        raise typer.BadParameter(f"give the {kind} a name", param_hint=f"--{kind}")
    scopes = tuple(scope or SCOPES_OF[kind])
    if unfit := set(scopes) - set(SCOPES_OF[kind]):
        raise typer.BadParameter(f"a key of kind {kind} cannot have {', '.join(sorted(unfit))}")
    if expires is not None and expires <= datetime.now(UTC):
        raise typer.BadParameter("--expires lies in the past")
    run(lambda settings: _create(settings, NewKey(kind, owner_id, scopes, expires)))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The middle part of the token.")]) -> None:
    """Revoke a key for good, at once."""
    run(lambda settings: _revoke(settings, key_id))


@app.command("list")
def list_() -> None:
    """Show every key; secrets are not kept, so none are shown."""
    run(_list)


async def _create(settings: Settings, wanted: NewKey) -> None:
    async with connect(settings) as connection:
        try:
            async with connection.transaction():
                [(token, key)] = await access_keys.create_keys(connection, [wanted])
        except UnknownOwner as error:
            raise No(str(error)) from error
    await _announce(settings, key)
    typer.echo(str(token))


async def _revoke(settings: Settings, key_id: str) -> None:
    async with connect(settings) as connection, connection.transaction():
        key = await access_keys.revoke_key(connection, key_id)
    if key is None:
        raise No(f"there is no key {key_id}")
    await _announce(settings, key)
    typer.echo(f"revoked {key_id}, {key.owner_kind} {key.owner_id}")


async def _list(settings: Settings) -> None:
    async with connect(settings) as connection:
        keys = await access_keys.load_keys(connection)
    now = datetime.now(UTC)
    table.show(
        ("key", "kind", "owner", "state", "created", "expires", "scopes"),
        [
            (
                stored.key.key_id,
                stored.key.owner_kind,
                stored.key.owner_id,
                _state(stored, now),
                f"{stored.created_at:%Y-%m-%d}",
                f"{stored.key.expires_at:%Y-%m-%d}" if stored.key.expires_at else "never",
                " ".join(stored.key.scopes),
            )
            for stored in keys
        ],
    )


def _state(stored: StoredKey, now: datetime) -> str:
    if stored.key.revoked_at is not None:
        return "revoked"
    return "expired" if stored.key.expires_at is not None and stored.key.expires_at <= now else "valid"


async def _announce(settings: Settings, key: AccessKey) -> None:
    """Tell every ingress now, not when relay comes round to it; relay does where Kafka is away."""
    producer = Producer(settings)
    try:
        await producer.start()
        await announcements.publish(producer, [key])
    except KafkaError as error:
        sys.stderr.write(f"stored; relay will publish it, since Kafka does not answer: {type(error).__name__}\n")
    finally:
        await producer.stop()
