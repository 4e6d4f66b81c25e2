"""Months of archived bookings: put away, written to a file, dropped; what is left knows how much that was."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.archived import CHILDREN, archive, over
from tests.support.cli import waiting_room
from tests.support.database import Database
from tests.support.world import clinics, seed, settings_for
from waiting_room import storage
from waiting_room.audit import counters, history
from waiting_room.audit.facts import ClinicFacts, Elsewhere
from waiting_room.domain.directory import AdapterKind
from waiting_room.storage import Limits
from waiting_room.store import archive_ranges, archiving, audit, bookings
from waiting_room.store.archive_ranges import Month
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection
from waiting_room.webhook_events import webhook_id

[SPEC] = clinics(1)
OLD = datetime.now(UTC) - timedelta(days=200)
MONTH = f"{OLD:%Y-%m}"
NAME = f"archived_bookings_{OLD:%Y_%m}"


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    async with database.owner() as connection:
        await seed(connection, [SPEC])
        yield connection


async def archived(owner: Connection) -> list[Booking]:
    """Three bookings, the first two of which are of a month long ago."""
    made = [await over(owner, SPEC, number) for number in range(3)]
    for booking in made[:2]:
        await owner.execute("UPDATE appointments SET start_at = $1 WHERE booking_ref = $2", OLD, booking.booking_ref)
    await archiving.make_range(owner, OLD.date())
    refs = [booking.booking_ref for booking in made]
    assert await archive(owner, "0001", refs) == set(refs)
    return made


async def put_old_away(owner: Connection) -> None:
    """As the command ``storage`` does."""
    await owner.execute("SET statement_timeout = 0")
    done = await storage.look_after(owner, Limits(90, 400, 400, keep_archived=100))
    assert done is not None
    assert (done.put_away, done.busy) == ([NAME], [])


async def facts_of(owner: Connection) -> ClinicFacts:
    """As the audit gathers them."""
    snapshot = await audit.take_snapshot(owner)
    [clinic] = snapshot.clinics
    facts = ClinicFacts(
        clinic_id="0001", adapter=AdapterKind.REST, now=snapshot.now, settled=True, counters=clinic.counters
    )
    await audit.load(owner, {"0001": facts})
    return facts


async def test_a_month_is_put_away_written_to_a_file_and_dropped(
    database: Database, owner: Connection, tmp_path: Path
) -> None:
    first, second, last = await archived(owner)
    file, other = tmp_path / "month.jsonl.gz", tmp_path / "other.jsonl.gz"

    async def run(*arguments: str) -> tuple[int, str]:
        said = await waiting_room("archive", *arguments, database=database)
        return said.status, (said.out or said.err).strip()

    await put_old_away(owner)
    status, listed = await run("list")
    assert status == 0
    assert re.search(rf"^{MONTH} +put away$", listed, re.MULTILINE)
    assert await bookings.booking(owner, first.booking_ref) is None
    assert await bookings.booking(owner, last.booking_ref) is not None
    facts = await facts_of(owner)
    assert facts.elsewhere == Elsewhere(2, 2, 12)
    assert [*history.check(facts), *counters.check(facts)] == []
    assert not await archiving.make_range(owner, OLD.date())

    other.write_bytes(gzip.compress(b"{}\n"))
    assert (await run("drop", MONTH, "--file", str(other)))[0] == 1
    assert await run("export", MONTH, "--file", str(file)) == (0, f"{file} has all of {MONTH}")
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert {line["booking_ref"] for line in lines} == {first.booking_ref, second.booking_ref}
    assert lines[0]["document"]["events"][0]["event"] == "booking.accepted"
    assert await run("drop", MONTH, "--file", str(file)) == (0, f"{MONTH} is in {file} only")
    assert [*history.check(facts := await facts_of(owner)), *counters.check(facts)] == []
    assert not await archiving.make_range(owner, OLD.date())


async def test_a_detach_that_was_interrupted_is_ended(database: Database, owner: Connection) -> None:
    await archived(owner)
    async with database.owner() as reader:
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM archived_bookings")
        await owner.execute("SET lock_timeout = '100ms'; SET statement_timeout = '300ms'")
        with pytest.raises(Exception, match="timeout"):
            await archive_ranges.detach(owner, NAME)
        await reader.execute("COMMIT")
    await put_old_away(owner)


async def test_webhooks_of_archived_bookings_are_not_sent_again_and_it_says_so(
    database: Database, owner: Connection
) -> None:
    booking = await over(owner, SPEC, 1)
    await owner.execute(CHILDREN.replace("$ref", f"'{booking.booking_ref}'"))
    [seq] = [row["seq"] for row in await owner.fetch("SELECT DISTINCT seq FROM webhook_deliveries")]
    name = webhook_id("of-clinic", "0001", seq)
    assert await archive(owner, "0001", [booking.booking_ref]) == {booking.booking_ref}
    for asked in (("show", name), ("redrive", "of-clinic", name)):
        said = await waiting_room("webhooks", *asked, database=database)
        assert (said.status, said.out) == (1, "")
        assert f"{name}: its booking is archived" in said.err
    since = (datetime.now(UTC) - timedelta(days=90)).isoformat()
    said = await waiting_room("webhooks", "redrive", "of-clinic", "--all", "--since", since, database=database)
    assert (said.status, said.out) == (0, "redriven 0\n")
    assert "archived" in said.err


def test_a_month_ends_on_its_last_day() -> None:
    ends = {"2026_02": (2026, 2, 28), "2028_02": (2028, 2, 29), "2026_12": (2026, 12, 31)}
    for name, day in ends.items():
        month = Month(f"archived_bookings_{name}")
        assert (month.label, month.last_day.timetuple()[:3]) == (name.replace("_", "-"), day)


def test_bookings_are_kept_longer_than_they_take_to_be_archived() -> None:
    with pytest.raises(ValueError, match="archive_keep_days"):
        settings_for(None, None, archive_after_days=60, archive_keep_days=40)
