"""``patients``: forget one, seal what is not sealed, wrap keys under a new master key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from waiting_room.cli.run import No, NotDone, connect, run
from waiting_room.envelope import CannotOpen, NoMasterKey, envelope_of
from waiting_room.intake_keys import KEPT
from waiting_room.patient_keys import NoPatientSecret, Vault, tags_of
from waiting_room.settings import Settings
from waiting_room.store import erasure, patient_keys
from waiting_room.store.erasure import StillWanted

app = typer.Typer(
    help="What is kept of patients, and under which keys. Connect as the schema's owner.", no_args_is_help=True
)


@app.command()
def erase(app_id: Annotated[str, typer.Option("--app", help="The app whose patient it is.")]) -> None:
    """Forget a patient, whose id is read from standard input: an argument would stand in histories and lists of
    processes. Their bookings stay, without them.
    """
    patient_id = sys.stdin.read().removesuffix("\n")
    run(lambda settings: _erase(settings, app_id, patient_id))


@app.command()
def rewrap() -> None:
    """Wrap every patient's key under the current master key, after it was changed."""
    run(_rewrap)


@app.command()
def seal() -> None:
    """Seal the patients of bookings that were made before there were keys."""
    run(_seal)


async def _erase(settings: Settings, app_id: str, patient_id: str) -> None:
    if not patient_id or "\n" in patient_id:
        raise NotDone("give the app's id of one patient on standard input")
    try:
        patient = app_id, tags_of(settings).of(app_id, patient_id)
    except NoPatientSecret as error:
        raise NotDone(str(error)) from error
    try:
        async with connect(settings) as connection, connection.transaction():
            erased = await erasure.erase(connection, patient)
    except StillWanted as error:
        raise No(f"bookings of this patient are not over: {', '.join(error.refs)}; cancel them first") from error
    if not erased.known:
        raise No(f"nothing is known of this patient of {app_id}")
    typer.echo(f"forgotten; {erased.bookings} bookings stay without their patient")


async def _rewrap(settings: Settings) -> None:
    try:
        async with connect(settings) as connection:
            done = await patient_keys.rewrap(connection, _vault(settings))
    except CannotOpen as error:
        raise No(f"a key is wrapped under a master key that is not set here: {error}") from error
    typer.echo(f"{done} keys wrapped under the current master key")
    if done:
        typer.echo(f"keep the old one for {KEPT.days} days more: bookings on their way are sealed under it")


async def _seal(settings: Settings) -> None:
    try:
        tags = tags_of(settings)
    except NoPatientSecret as error:
        raise NotDone(str(error)) from error
    async with connect(settings) as connection:
        typer.echo(f"{await patient_keys.seal_plain(connection, _vault(settings), tags)} bookings sealed")


def _vault(settings: Settings) -> Vault:
    try:
        return Vault(envelope_of(settings))
    except NoMasterKey as error:
        raise NotDone(str(error)) from error
