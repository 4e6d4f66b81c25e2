"""`python -m loadtest send`: the load sender as a process of its own, told what to do by a JSON plan."""

import gc
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from msgspec import Meta

from loadtest.arrivals import Constant, Profile, offsets
from loadtest.bookings import Share, Stack, bookings, load_stack, mix_from
from loadtest.measure import LedgerRow, SendResult
from loadtest.send import send

_encoder = msgspec.json.Encoder()


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to send. Give `rate` and `seconds` (evenly spaced) or an arrival `profile`.

    `clinics` is the file that lists what can be booked. `timeout_seconds` counts from each request's due
    time. Who is refused with a `Retry-After` comes back then, up to `returns` times. `reachable`: patients
    say by which of email, SMS and push they want to be told.
    """

    url: str
    app_key: str
    clinics: str
    seed: int = 1
    rate: Annotated[float, Meta(gt=0)] | None = None
    seconds: Annotated[float, Meta(ge=0)] | None = None
    profile: Profile | None = None
    contested_share: Share = 0.0
    repeat_share: Share = 0.0
    reachable: bool = False
    timeout_seconds: Annotated[float, Meta(gt=0)] = 30.0
    max_connections: Annotated[int, Meta(ge=1)] = 2000
    returns: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if (self.profile is None) == (self.rate is None or self.seconds is None):
            raise ValueError("give either rate and seconds, or a profile")

    @property
    def arrivals(self) -> Profile:
        if self.profile is not None:
            return self.profile
        assert self.rate is not None
        assert self.seconds is not None
        return Constant(self.rate, self.seconds)


def send_plan(
    plan: Annotated[Path, typer.Argument(help="JSON: url, app_key, clinics, rate and seconds, seed, ...")],
    ledger: Annotated[Path | None, typer.Option(help="Write one JSON line a request here.")] = None,
) -> None:
    """Send bookings at their due times and print what came of it as JSON."""
    try:
        loaded = msgspec.json.decode(plan.read_bytes(), type=Plan)
        stack = load_stack(Path(loaded.clinics))
    except (OSError, msgspec.DecodeError) as error:
        print(f"{plan}: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    rows: list[LedgerRow] = []
    gc.freeze()  # what was imported need not be walked again while requests are timed
    result = uvloop.run(_send(loaded, stack, rows))
    if ledger is not None:
        ledger.write_bytes(_encoder.encode_lines(rows))
    print(_encoder.encode(result).decode())


class _Returns:
    """When a caller comes back: when it was told to."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: Counter[str] = Counter()

    def __call__(self, row: LedgerRow) -> float | None:
        if row.status not in (429, 503) or row.retry_after is None or self._times[row.idempotency_key] >= self._most:
            return None
        self._times[row.idempotency_key] += 1
        return row.retry_after


async def _send(plan: Plan, stack: Stack, rows: list[LedgerRow]) -> SendResult:
    mix = mix_from(datetime.now(UTC), contested_share=plan.contested_share, repeat_share=plan.repeat_share)
    return await send(
        plan.url,
        offsets(plan.arrivals, plan.seed),
        bookings(stack, plan.app_key, mix, plan.seed, reachable=plan.reachable),
        on_row=rows.append,
        again=_Returns(plan.returns) if plan.returns else None,
        timeout_seconds=plan.timeout_seconds,
        max_connections=plan.max_connections,
    )
