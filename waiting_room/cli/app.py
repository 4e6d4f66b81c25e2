"""The list of commands."""

from __future__ import annotations

import typer

from waiting_room.cli.archive import app as archive
from waiting_room.cli.audit import audit
from waiting_room.cli.config import config
from waiting_room.cli.directory import app as directory
from waiting_room.cli.dlq import app as dlq
from waiting_room.cli.keys import app as keys
from waiting_room.cli.migrate import migrate
from waiting_room.cli.notifications import app as notifications
from waiting_room.cli.patients import app as patients
from waiting_room.cli.saga import saga
from waiting_room.cli.secrets import secrets
from waiting_room.cli.stock import stock
from waiting_room.cli.storage import storage
from waiting_room.cli.topics import topics
from waiting_room.cli.webhooks import app as webhooks

app = typer.Typer(
    help="Set up, look after and audit a Waiting Room.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(config)
app.command()(saga)
app.command()(secrets)
app.command()(migrate)
app.command()(storage)
app.command()(topics)
app.command()(audit)
app.command()(stock)
app.add_typer(archive, name="archive")
app.add_typer(directory, name="directory")
app.add_typer(keys, name="keys")
app.add_typer(dlq, name="dlq")
app.add_typer(notifications, name="notifications")
app.add_typer(patients, name="patients")
app.add_typer(webhooks, name="webhooks")
