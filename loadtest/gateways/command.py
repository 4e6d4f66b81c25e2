"""`python -m loadtest gateways`: what carries messages to patients, as one server process that keeps all of them."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from loadtest.gateways import smtp
from loadtest.gateways.http import HttpGateways
from loadtest.gateways.ledger import Ledger, Mood
from loadtest.httpserver import serve_until_signalled

CHANNELS = ("email", "sms", "push")


def gateways(
    port: Annotated[int, typer.Option(help="For HTTP; 0 takes a free one.")] = 0,
    smtp_port: Annotated[int, typer.Option(help="For SMTP; 0 takes a free one.")] = 0,
    delay: Annotated[float, typer.Option(min=0, help="Seconds until a message is sent and answered.")] = 0.0,
    failing: Annotated[float, typer.Option(min=0, max=1, help="Share that is not sent, and answered so.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same luck.")] = 1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Take SMS and push at http://127.0.0.1:PORT/sms and /push, emails by SMTP; /_sim/sent shows them."""
    ledger = Ledger({channel: Mood(delay=delay, failing=failing) for channel in CHANNELS}, seed)
    uvloop.run(_serve(ledger, host, port, smtp_port))


async def _serve(ledger: Ledger, host: str, port: int, smtp_port: int) -> None:
    async with smtp.listening(ledger, smtp_port, host):
        await serve_until_signalled(HttpGateways(ledger).handle, port, host)
