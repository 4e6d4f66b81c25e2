"""``audit``: whether anything was lost, doubled, or left undone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waiting_room.audit.evidence import EvidenceUnreadable
from waiting_room.audit.run import Sources
from waiting_room.audit.run import audit as audit_all
from waiting_room.cli.run import NotDone, connect, run, write_file
from waiting_room.settings import Settings


def audit(
    ledger: Annotated[str | None, typer.Option(help="FILE or URL: the callers' answers, JSON lines.")] = None,
    clinic_records: Annotated[
        str | None, typer.Option(help="FILE or URL: the clinics' own bookings, JSON lines.")
    ] = None,
    received: Annotated[str | None, typer.Option(help="FILE or URL: the webhooks that arrived, JSON lines.")] = None,
    settled: Annotated[bool, typer.Option("--settled", help="Nothing may be waiting any more.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the verdict to this file too.")] = None,
) -> None:
    """Compare the log, the database and what others recorded; list whatever does not fit.

    Ends with 0 if all is as promised, 1 if not, 2 if it could not be found out. Needs the role audit.
    """
    run(lambda settings: _audit(settings, Sources(ledger, clinic_records, received), settled, json))


async def _audit(settings: Settings, sources: Sources, settled: bool, json: Path | None) -> None:
    async with connect(settings) as connection:
        try:
            verdict = await audit_all(connection, settings, sources, settled=settled)
        except EvidenceUnreadable as error:
            raise NotDone(str(error)) from error
    if json is not None:
        write_file(json, verdict.as_json())
    for line in verdict.lines():
        typer.echo(line)
    if not verdict.clean:
        raise typer.Exit(1)
