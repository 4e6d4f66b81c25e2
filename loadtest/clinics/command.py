"""`python -m loadtest clinics`: the clinics, as one server process."""

import gc
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from loadtest.clinics.behaviour import Spec, load_spec
from loadtest.clinics.journal import Journal, forget
from loadtest.clinics.server import Simulator
from loadtest.httpserver import serve_until_signalled


def clinics(
    spec: Annotated[Path, typer.Option(help='JSON: {"clinics": {"000A": {behaviour}, ...}}.')],
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Same seed, same luck for each clinic's n-th call.")] = 1,
    record: Annotated[Path | None, typer.Option(help="Keep bookings here; a restarted clinic remembers.")] = None,
) -> None:
    """Run simulated clinic systems, one base URL each: http://HOST:PORT/clinics/ID."""
    try:
        loaded = load_spec(spec)
        journal = Journal(record) if record else None
    except (OSError, msgspec.DecodeError) as error:
        print(f"{spec}: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    gc.freeze()  # what was imported need not be walked again while clinics answer
    try:
        uvloop.run(_serve(loaded, host, port, seed, journal))
    finally:
        if journal:
            journal.close()


async def _serve(spec: Spec, host: str, port: int, seed: int, journal: Journal | None) -> None:
    simulator = Simulator(spec, seed, journal.remember if journal else forget)
    for event in journal.events() if journal else ():
        clinic = simulator.clinics.get(event.clinic_id)
        if clinic is not None:  # a clinic left out of the spec keeps its lines, unseen
            clinic.books.apply(event)
    await serve_until_signalled(simulator.handle, port, host)
