"""``python -m loadtest observe``: the demo's world through an outage, watched by a real Prometheus.

One of twenty clinics goes away while bookings come, and returns once somebody would have been told. It shows that
every recording rule yields values, that the alert of the clinic that is down fires and clears, and writes what each
panel of each board would show.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop

from dashboards.boards.all import BOARDS
from dashboards.rule_files import rules
from devstack.stack import RUN, Stack, write_stack_file
from devstack.valkey_server import ValkeyServer
from loadtest.bench.sender import send
from loadtest.observe.pictures import take
from loadtest.observe.prometheus import SCRAPE_SECONDS, NoPrometheus, Prometheus
from loadtest.observe.table import Span, panels_table, rules_table, told_of_panels
from loadtest.observe.world import CONTESTED_SHARE, UNSEEN, ask_what_is_free, stack_of
from waiting_room.telemetry import logs

FOLDER = RUN / "observe"
RATE, SEND_MINUTES = 6.0, 3.0
DOWN_FROM_SECONDS, DOWN_MAX_SECONDS = 20.0, 180.0
"""The clinic is down from so long after the first booking until its alert fires, and no longer than that."""
CLEARS_WITHIN_SECONDS = 150.0
ALERT = "ClinicDown"

_HEAD = """\
# What the boards show of an outage

Written by `python -m loadtest observe`: 20 clinics over HTTP, {rate:g} bookings/s for {seconds:g} s by patients who
want to be told, vaccinations that ask for eligibility, a hot tier, one clinic away from {down:g} s on until its alert
fires; scraped every {scrape} s by a real Prometheus with the rules of `dashboards/rules`. Least, most and last are over
the whole run; last adds up the series.

"""


def observe(
    page: Annotated[Path, typer.Option(help="Write the tables to this file.")] = FOLDER / "observed.md",
    pictures: Annotated[
        Path | None, typer.Option(help="A folder for pictures of /ops, where there is Chromium.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.5, max=30, help="How long bookings come; the run goes on until the alert cleared.")
    ] = SEND_MINUTES,
) -> None:
    """Exit status 0: every recording rule had values, and every panel but where nothing is to be seen; the clinic's
    alert fired and cleared.
    """
    logs.configure("observe", "warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise typer.Exit(runner.run(_observe(page, pictures, minutes * 60)))


async def _observe(page: Path, pictures: Path | None, send_seconds: float) -> int:
    valkey = ValkeyServer(FOLDER / "data" / "valkey")
    stack = stack_of(FOLDER, valkey.url, datetime.now(UTC))
    try:
        await valkey.start()
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        async with Prometheus(FOLDER, stack.description["metrics_urls"]) as prometheus:
            return await _watch(stack, prometheus, page, pictures, send_seconds)
    except NoPrometheus as error:
        print(error)
        return 2
    finally:
        await stack.stop()
        await valkey.stop()


async def _watch(stack: Stack, prometheus: Prometheus, page: Path, pictures: Path | None, send_seconds: float) -> int:
    began, started = time.time(), time.monotonic()
    plan: dict[str, Any] = {
        "url": stack.description["ingress_url"],
        "app_key": stack.description["app_key"],
        "rate": RATE,
        "seconds": send_seconds,
        "contested_share": CONTESTED_SHARE,
        "reachable": True,
    }
    sending = asyncio.create_task(send(FOLDER, plan), name="send")
    asking = asyncio.create_task(ask_what_is_free(stack.description), name="ask what is free")
    clinic_id, is_down = stack.description["clinics"][-1]["id"], False
    fired: dict[str, float] = {}
    cleared: dict[str, float] = {}
    others: set[str] = set()
    try:
        while time.monotonic() - started < send_seconds + CLEARS_WITHIN_SECONDS:
            firing = {
                (alert["labels"]["alertname"], alert["labels"].get("clinic", ""))
                for alert in await prometheus.alerts()
                if alert["state"] == "firing"
            }
            second = time.monotonic() - started
            if not is_down and not fired and second >= DOWN_FROM_SECONDS:
                is_down = await _set_down(stack, clinic_id, down=True)
                print(f"{second:4.0f} s  clinic {clinic_id} goes away")
            elif is_down and (fired or second >= DOWN_FROM_SECONDS + DOWN_MAX_SECONDS):
                is_down = await _set_down(stack, clinic_id, down=False)
                print(f"{second:4.0f} s  clinic {clinic_id} returns")
            down = {clinic for name, clinic in firing if name == ALERT}
            others |= {name for name, _ in firing if name != ALERT}
            if down and not fired and pictures is not None:
                await take(f"{stack.description['ingress_url']}/ops", pictures)
            for clinic in down - fired.keys():
                fired[clinic] = second
                print(f"{second:4.0f} s  {ALERT} fires for {clinic}")
            for clinic in fired.keys() - down - cleared.keys():
                cleared[clinic] = second
                print(f"{second:4.0f} s  {ALERT} of {clinic} clears")
            if sending.done() and fired and fired.keys() == cleared.keys():
                break
            await asyncio.sleep(SCRAPE_SECONDS)
        sent, _ = await sending
        if asking.done():
            asking.result()  # it ends by an error only
    finally:
        sending.cancel()
        asking.cancel()
    span = Span(began, time.time())
    rule_lines, empty_rules = await rules_table(prometheus, rules(), span)
    panel_lines, empty_panels = await panels_table(prometheus, BOARDS, span)
    courses = [
        f"- `{ALERT}` of clinic {clinic} fired {fired[clinic]:.0f} s after the first booking and "
        + (f"cleared after {cleared[clinic]:.0f} s." if clinic in cleared else "did not clear.")
        for clinic in sorted(fired)
    ]
    head = _HEAD.format(rate=RATE, seconds=send_seconds, down=DOWN_FROM_SECONDS, scrape=SCRAPE_SECONDS)
    text = [
        *(f"- Posted: {sent.requests}; answers by status: {dict(sorted(sent.statuses.items()))}.",),
        *(courses or [f"- `{ALERT}` did not fire."]),
        f"- Other alerts that fired: {', '.join(sorted(others)) or 'none'}.",
        *told_of_panels(empty_panels, UNSEEN),
        f"- Recording rules without a value: {', '.join(empty_rules) or 'none'}.",
        *("", "## Recording rules", "", *rule_lines, "", "## Panels", "", *panel_lines, ""),
    ]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(head + "\n".join(text))
    print(*text[:5], str(page), sep="\n")
    missing = [*empty_rules, *(panel for panel in empty_panels if panel not in UNSEEN)]
    if missing:
        print(f"without a value: {'; '.join(missing)}")
    return 0 if fired and fired.keys() == cleared.keys() and not missing else 1


async def _set_down(stack: Stack, clinic_id: str, *, down: bool) -> bool:
    """Have the simulated clinic answer 503 from now on, or as before; whether it is down."""
    url = f"{stack.clinics_url}/_sim/clinics/{clinic_id}"
    async with aiohttp.ClientSession() as session, session.patch(url, json={"down": "503" if down else None}) as answer:
        answer.raise_for_status()
    return down
