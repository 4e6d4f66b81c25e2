"""In virtual time, with the sender's own pacing: endpoints that hang or fail delay nobody else."""

from __future__ import annotations

from loadtest.bench.webhooks import SIMULATOR_TARGET, simulate
from loadtest.simulate.webhooks import Health, Webhooks


def test_the_others_hardly_notice_endpoints_that_hang_and_fail() -> None:
    p99 = {troubled: simulate(1, troubled=troubled, seconds=10.0, rate=400.0) for troubled in (False, True)}
    assert p99[True] <= SIMULATOR_TARGET * p99[False]


def test_a_failing_endpoint_is_asked_ever_more_rarely_and_heard_when_it_is_well() -> None:
    world = Webhooks([Health.FAILS], seed=1)
    for _ in range(200):
        world.commit(0)
    world.clock.run_until(120.0)
    assert world.attempts < 15  # five to see that it is down, then probes
    world.recover(0)
    world.clock.run_until(160.0 + 300.0 * 1.2)
    assert len(world.waits) == 200
