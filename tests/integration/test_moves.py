"""A clinic is moved while bookings and cancels flow through two ingresses; hold and the mover are killed meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.test_worker_process import Worker, at
from tests.stack import Kafka
from tests.support.cli import waiting_room
from tests.support.database import Database
from tests.support.log import until
from tests.support.moving import flowing, stragglers


async def test_there_and_back_while_bookings_flow(tmp_path: Path, database: Database, fresh_kafka: Kafka) -> None:
    async with flowing(database, fresh_kafka) as world:
        async with world.bookings():
            for partition in ("2", "1"):
                said = await waiting_room(
                    "directory", "move", world.clinic_id, partition, database=database, kafka=fresh_kafka
                )
                assert (said.status, said.err) == (0, ""), said
                assert said.out.splitlines()[-1].startswith(f"clinic {world.clinic_id} is on partition {partition} (")
                await world.some_more(5)
        await world.check(tmp_path)
        log = await world.commands()
        assert set(log) == {1, 2}
        assert min(map(len, log.values())) > 10
        assert not stragglers(log[2])
    assert not sum(flow.refused for flow in world.flows), "a move is nothing that callers notice"


async def test_hold_is_killed_while_a_clinic_moves(tmp_path: Path, database: Database, fresh_kafka: Kafka) -> None:
    hold = Worker(tmp_path, "hold", kafka_session_timeout_ms=6_000, **at(database, fresh_kafka, "hold"))
    async with flowing(database, fresh_kafka, hold=False) as world:
        await hold.start()
        async with world.bookings():
            moving = asyncio.create_task(
                waiting_room("directory", "move", world.clinic_id, "2", database=database, kafka=fresh_kafka)
            )
            for far in ("started_at", "marker_written_at"):
                await until(lambda far=far: world.moved(far))  # type: ignore[misc]
                await hold.kill()
                hold.spawn()
            said = await moving
            assert (said.status, said.err) == (0, ""), said
        await world.check(tmp_path)
        assert not stragglers((await world.commands())[1])
        await hold.stop()


async def test_the_mover_crashes_and_is_run_again(tmp_path: Path, database: Database, fresh_kafka: Kafka) -> None:
    """Between the change of the map and the marker: while an ingress that is frozen does not report."""
    async with flowing(database, fresh_kafka) as world:
        move = ("directory", "move", world.clinic_id, "2")
        async with world.bookings():
            pass
        frozen, its_caller = world.processes[1], world.flows[1]
        assert its_caller.caller is world.callers[1]
        frozen.freeze()
        try:
            crashing = asyncio.create_task(waiting_room(*move, database=database, kafka=fresh_kafka))
            await until(world.moved)
            crashing.cancel()  # kills it
            await asyncio.gather(crashing, return_exceptions=True)
            assert not await world.moved("marker_written_at")
            elsewhere = await waiting_room(*move[:-1], "3", database=database, kafka=fresh_kafka)
            assert (elsewhere.status, elsewhere.out) == (1, "")
            assert f"still on its way from partition 1 to 2; finish that first: {' '.join(move)}" in elsewhere.err
            impatient = await waiting_room(*move, "--wait", "1", database=database, kafka=fresh_kafka)
            assert impatient.status == 2
            assert impatient.err.endswith("for 1 s; run the command again, it goes on from there\n")
            # It is taken for gone now and does not know: what comes to it must not go where the clinic was.
            again = await waiting_room(*move, database=database, kafka=fresh_kafka)
            assert (again.status, again.err) == (0, ""), again
            booking = asyncio.create_task(its_caller.book())
            await asyncio.sleep(0.2)
        finally:
            frozen.thaw()
        assert await booking
        async with world.bookings():
            pass
        await world.check(tmp_path)
        assert not stragglers((await world.commands())[1])
        nothing = await waiting_room(*move, database=database, kafka=fresh_kafka)
        assert (nothing.status, nothing.out) == (0, f"clinic {world.clinic_id} is on partition 2 already\n")
