"""``webhooks``: look after endpoints and deliveries, send dead letters again, seal secrets under a new master key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from waiting_room.cli import table
from waiting_room.cli.moment import EXAMPLE, moment
from waiting_room.cli.run import No, connect, run
from waiting_room.domain.delivery import DeliveryState, DisabledReason
from waiting_room.envelope import CannotOpen, NoMasterKey, envelope_of
from waiting_room.settings import Settings
from waiting_room.store import busy_feeds, webhook_endpoints, webhook_secrets
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_endpoints import DeliveryRow, Overview
from waiting_room.webhook_events import parse_webhook_id, webhook_id

app = typer.Typer(help="Webhook endpoints and their deliveries. Connect as the schema's owner.", no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="As `webhooks list` shows it.")]


Moment = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help=f"RFC 3339, such as {EXAMPLE}.")]


@app.command("list")
def list_() -> None:
    """Show every endpoint, how it is doing, what waits for it and what has failed."""
    run(_list)


@app.command()
def deliveries(
    endpoint_id: EndpointId,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those; `failed` are the dead letters.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 50,
) -> None:
    """Show an endpoint's deliveries. No bodies."""
    run(lambda settings: _deliveries(settings, endpoint_id, state, limit))


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="WEBHOOK_ID", help="As `deliveries` shows it.")]) -> None:
    """Show every attempt of one delivery: where to, what came back, how long it took."""
    run(lambda settings: _show(settings, name))


@app.command()
def redrive(
    endpoint_id: EndpointId,
    names: Annotated[list[str] | None, typer.Argument(metavar="[WEBHOOK_ID]...")] = None,
    since: Moment = None,
    until: Moment = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Not only what has failed, also what was delivered or never sent.")
    ] = False,
) -> None:
    """Send deliveries again, with all attempts before them: these, or what has failed since a moment."""
    if bool(names) == (since is not None):
        raise typer.BadParameter("give ids, or --since")
    run(lambda settings: _redrive(settings, endpoint_id, names or [], since, until, everything))


@app.command()
def disable(endpoint_id: EndpointId) -> None:
    """Send an endpoint nothing any more; what waits for it fails."""
    run(lambda settings: _switch(settings, endpoint_id, on=False))


@app.command()
def enable(endpoint_id: EndpointId) -> None:
    """Tell an endpoint of what happens from now on."""
    run(lambda settings: _switch(settings, endpoint_id, on=True))


@app.command()
def reseal() -> None:
    """Seal all secrets, addresses of calendars too, under the current master key; then a retired one can go."""
    run(_reseal)


async def _list(settings: Settings) -> None:
    async with connect(settings) as connection:
        rows = await webhook_endpoints.overview(connection)
    table.show(
        ("endpoint", "kind", "owner", "state", "failing since", "due", "failed", "url"),
        [
            (
                row.endpoint_id,
                row.owner_kind,
                row.owner_id,
                _state(row),
                f"{row.failing_since:%Y-%m-%dT%H:%M:%SZ}" if row.failing_since else "-",
                row.due,
                row.failed,
                row.url,
            )
            for row in rows
        ],
    )


def _state(row: Overview) -> str:
    if not row.active:
        return f"disabled ({row.disabled_reason})"
    return "active" if row.verified_at else "unverified"


async def _deliveries(settings: Settings, endpoint_id: str, state: DeliveryState | None, limit: int) -> None:
    async with connect(settings) as connection:
        await _require(connection, endpoint_id)
        rows = await webhook_endpoints.deliveries(connection, endpoint_id, state, None, limit)
    table.show(
        ("webhook-id", "event", "happened", "state", "attempts", "last answer"),
        [
            (
                webhook_id(endpoint_id, row.clinic_id, row.seq),
                row.event,
                f"{row.committed_at:%Y-%m-%dT%H:%M:%SZ}",
                f"{row.state} ({row.failed_why})" if row.failed_why else row.state,
                row.attempts,
                _answer(row),
            )
            for row in rows
        ],
    )


def _answer(row: DeliveryRow) -> str:
    return row.last_error or (str(row.last_status) if row.last_status else "-")


async def _show(settings: Settings, name: str) -> None:
    which = _parsed(name)
    async with connect(settings) as connection:
        await _require_delivery(connection, name, which)
        attempts = await webhook_endpoints.attempts(connection, *which)
    table.show(
        ("started", "seconds", "answer", "url", "response"),
        [
            (
                f"{each.started_at:%Y-%m-%dT%H:%M:%SZ}",
                f"{each.seconds:.3f}",
                each.error or each.status,
                each.url,
                each.response or "-",
            )
            for each in attempts
        ],
    )


async def _redrive(
    settings: Settings,
    endpoint_id: str,
    names: list[str],
    since: datetime | None,
    until: datetime | None,
    everything: bool,
) -> None:
    which = [_parsed(name) for name in names]
    if others := [name for name, (owner, _, _) in zip(names, which, strict=True) if owner != endpoint_id]:
        raise No("\n".join(f"{name} is another endpoint's" for name in others))
    async with connect(settings) as connection:
        await _require(connection, endpoint_id)
        for name, each in zip(names, which, strict=True):
            await _require_delivery(connection, name, each)
        done = await webhook_endpoints.replay(
            connection, endpoint_id, [(clinic_id, seq) for _, clinic_id, seq in which]
        )
        upto = until or datetime.now(UTC)
        archived = since is not None and await webhook_endpoints.archived_between(
            connection, endpoint_id, since, upto, settings.archive_after_days
        )
        while since is not None:
            replayed, since = await webhook_endpoints.replay_between(
                connection, endpoint_id, since, upto, only_failed=not everything
            )
            done += replayed
    typer.echo(f"redriven {done}")
    if archived:
        typer.echo("without events of bookings that are archived by now: those are not sent again", err=True)


async def _switch(settings: Settings, endpoint_id: str, *, on: bool) -> None:
    async with connect(settings) as connection:
        await _require(connection, endpoint_id)
        if on:
            await webhook_endpoints.enable(connection, endpoint_id)
        else:
            await webhook_endpoints.disable(connection, endpoint_id, DisabledReason.OPERATOR)
    typer.echo(f"{'enabled' if on else 'disabled'} {endpoint_id}")


async def _reseal(settings: Settings) -> None:
    try:
        envelope = envelope_of(settings)
        async with connect(settings) as connection, connection.transaction():
            done = await webhook_secrets.reseal(connection, envelope)
            done += await busy_feeds.reseal(connection, envelope)
    except (NoMasterKey, CannotOpen) as error:
        raise No(str(error)) from error
    typer.echo(f"sealed {done} secrets anew")


async def _require(connection: Connection, endpoint_id: str) -> None:
    if await webhook_endpoints.find(connection, endpoint_id) is None:
        raise No(f"there is no endpoint {endpoint_id}")


async def _require_delivery(connection: Connection, name: str, which: tuple[str, str, int]) -> None:
    if await webhook_endpoints.delivery(connection, *which) is not None:
        return
    if await webhook_endpoints.is_archived(connection, *which):
        raise No(f"{name}: its booking is archived, its deliveries are gone and cannot be sent again (docs/archive.md)")
    raise No(f"there is no {name}")


def _parsed(name: str) -> tuple[str, str, int]:
    which = parse_webhook_id(name)
    if which is None:
        raise No(f"{name} is no webhook-id")
    return which
