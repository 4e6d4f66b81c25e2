"""`python -m loadtest eligibility`: a system that knows who may have what, as a server process."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from loadtest.eligibility.system import EligibilitySystem, Mood
from loadtest.httpserver import serve_until_signalled


def eligibility(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    delay: Annotated[float, typer.Option(min=0, help="Seconds until it answers.")] = 0.2,
    refusing: Annotated[float, typer.Option(min=0, max=1, help="Share of questions answered with no.")] = 0.02,
    failing: Annotated[float, typer.Option(min=0, max=1, help="Share of questions that fail.")] = 0.0,
    token: Annotated[str | None, typer.Option(help="Answer only who brings it as a bearer token.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Answer POST /checks; PATCH /_sim/mood makes it slow, failing or down."""
    system = EligibilitySystem(Mood(delay=delay, refusing=refusing, failing=failing), token)
    uvloop.run(serve_until_signalled(system.handle, port, host))
