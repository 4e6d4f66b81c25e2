"""``python -m loadtest bench [NAME]``: one benchmark by name, or the list of them."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
from typing import Annotated

import typer
import uvloop

from devstack.stack import RUN
from loadtest.bench.report import Result, machine, show
from waiting_room.telemetry import logs

BENCHMARKS = {
    "ack": "accept latency at 1,000 bookings/s over 500 clinics; CPU and p50 against a bare handler",
    "archive": "bookings a second that sweep archives, and how long who books at the same clinics waits for it",
    "autoscale": "worker-hours by what clinics need against those by lag, with 5% of the clinics down",
    "drain": "clinics kept at their hidden capacity while their lines are full",
    "eta": "what patients are told at the door against what becomes of it, and whether a place ever grows",
    "isolation": "healthy clinics' p99 wait with a quarter of the others in trouble, against none",
    "key-parallel": "10,000 messages of many keys in one partition, each key in order, against a Java library",
    "hammer": "50 clients at 20 hot providers for two minutes, hold killed over and over: seats, doses, offers, audit",
    "footprint": "what each process costs: CPU a booking, CPU idle, memory; what deploy/ asks for",
    "hold": "bookings one hold process drains from a full topic",
    "hot-tier": "what a shared cache of slots saves, and how soon a lost race is known, with a hot tier and without",
    "instant": "accepted to decided at 100 bookings/s where the platform keeps the calendar",
    "metrics": "what measuring costs on the accept path, at a scrape of ingress, in bytes of a whole deployment",
    "outage": "all clinics away for ten minutes: nothing dead-lettered, nothing rejected in time, no herd afterwards",
    "partitions": "seat claims by month and clinic against one table, and who waits while months are put away",
    "reminders": "20,000 reminders due in one minute, one of four senders killed: in time, once, none when cancelled",
    "spike": "twenty times a sustainable load: who is refused, and whether they get in when told to come back",
    "scale": "rules, seats and holds at 1, 10 and 100 times as many; holds a second with everything in play",
    "slots": "what is free of 100,000 providers with up to 5,000,000 appointments, cold and warm, at 200 requests/s",
    "seat-race": "200 bookings at once for one seat",
    "webhooks": "what failing webhook endpoints cost the others, and events a second delivered",
}
"""Name to what it measures; ``loadtest/bench/NAME.py`` has ``async def measure(seed) -> Result``."""


def bench(
    name: Annotated[str | None, typer.Argument(help="Which one; none lists them.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same load.")] = 1,
    seconds: Annotated[int | None, typer.Option(help="For how long, where a benchmark can be told so.")] = None,
) -> None:
    """Run one benchmark: real servers, a table, and .run/bench/NAME.json. Exit status 1 when the target is missed."""
    if name is None:
        for each, what in BENCHMARKS.items():
            print(f"{each:<12} {what}")
        return
    if name not in BENCHMARKS:
        sys.exit(f"no benchmark is called {name}; there are: {', '.join(BENCHMARKS)}")
    logs.configure("bench", "warning")
    shutil.rmtree(RUN / f"bench-{name}" / "data", ignore_errors=True)  # of a run that was killed
    on = machine()
    module = importlib.import_module(f"loadtest.bench.{name.replace('-', '_')}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result: Result = runner.run(module.measure(seed, **({} if seconds is None else {"seconds": seconds})))
    path = show(result, on)
    print(path.relative_to(path.parents[2]))
    raise typer.Exit(0 if result.passed else 1)
