"""Who may be accepting commands by an old map: by what each ingress reported, and by what it may do itself."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from ingress.map_lease import MapLease
from waiting_room.domain.map_reports import LEASE_SECONDS, LIVE_SECONDS, REPEAT_SECONDS, Reports, lease_seconds
from waiting_room.messages import MapReport

AT = datetime(2026, 11, 26, 8, tzinfo=UTC)


def report(worker_id: str, directory_offset: int, at: datetime = AT) -> MapReport:
    return MapReport(worker_id=worker_id, at=at, directory_offset=directory_offset)


class TestReports:
    def test_whoever_has_read_less_is_waited_for(self) -> None:
        reports = Reports()
        reports.heard(report("a", 7), 0.0)
        reports.heard(report("b", 8), 0.0)
        assert reports.behind(8, 1.0) == ["a"]
        reports.heard(report("a", 9), 1.0)
        assert reports.behind(8, 1.0) == []

    def test_the_last_word_counts_even_if_it_is_less(self) -> None:
        reports = Reports()
        reports.heard(report("a", 9), 0.0)
        reports.heard(report("a", 0), 1.0)
        assert reports.behind(8, 1.0) == ["a"], "it reads the directory anew"

    def test_whoever_falls_silent_is_not_waited_for(self) -> None:
        reports = Reports()
        reports.heard(report("a", 7), 10.0)
        assert reports.behind(8, 10.0 + LIVE_SECONDS - 0.1) == ["a"]
        assert reports.behind(8, 10.0 + LIVE_SECONDS) == []
        assert reports.live(10.0 + LIVE_SECONDS) == []

    def test_what_was_there_before_counts_from_when_it_was_found_unless_it_is_of_long_ago(self) -> None:
        reports = Reports()
        reports.found(report("dead", 7), 0.0, AT + timedelta(hours=3))
        reports.found(report("lately", 7), 0.0, AT + timedelta(seconds=50))
        reports.found(report("ahead", 7), 0.0, AT - timedelta(seconds=50))
        assert reports.live(1.0) == ["ahead", "lately"]

    def test_a_dead_ingress_that_had_reported_twice_is_dead(self) -> None:
        reports = Reports()
        reports.found(report("a", 7, AT), 0.0, AT)
        reports.found(report("a", 7, AT - timedelta(hours=1)), 0.0, AT)
        assert reports.live(0.0) == []


class TestLease:
    def lease(self) -> MapLease:
        """One that is held until 10, having read 5."""
        lease = MapLease(lease_seconds=10.0, settle_seconds=2.0)
        lease.read(5, 0.0)
        lease.reported(5, 0.0, 0.1)
        assert not lease.holds(0.1), "a newer map may have been published before the report"
        assert lease.checked(5, 0.0)
        return lease

    def test_it_begins_with_a_report_and_a_look_at_what_was_published_before_it(self) -> None:
        lease = MapLease(lease_seconds=10.0, settle_seconds=2.0)
        lease.read(5, 0.0)
        assert lease.to_report(0.0) == 5, "at once: nothing was accepted under an older map"
        lease.reported(5, 0.0, 0.1)
        assert not lease.checked(6, 0.0)
        lease.read(6, 0.2)
        assert lease.checked(6, 0.0)
        assert lease.holds(9.9)
        assert not lease.holds(10.0), "ten seconds from before the report was sent"

    def test_a_report_in_time_renews_it(self) -> None:
        lease = self.lease()
        assert lease.to_report(REPEAT_SECONDS - 0.1) is None
        assert lease.to_report(REPEAT_SECONDS) == 5
        lease.reported(5, 5.0, 5.5)
        assert lease.holds(14.9)

    def test_a_report_that_is_acknowledged_too_late_does_not(self) -> None:
        lease = self.lease()
        lease.reported(5, 5.0, 10.5)
        assert not lease.holds(10.5)
        assert lease.checked(5, 5.0)
        assert lease.holds(14.9)

    def test_who_comes_back_from_a_freeze_asks_first(self) -> None:
        lease = self.lease()
        assert not lease.holds(60.0)
        assert lease.to_report(60.0) == 5
        lease.reported(5, 60.0, 60.1)
        assert not lease.holds(60.1)
        lease.read(8, 60.2)
        assert lease.checked(8, 60.0)
        assert lease.holds(60.2)

    def test_a_newer_map_is_reported_once_all_that_was_accepted_before_has_been_answered(self) -> None:
        lease = self.lease()
        lease.read(6, 1.0)
        assert lease.to_report(2.9) is None
        lease.read(6, 3.0)
        assert lease.to_report(3.0) == 6

    def test_reading_anew_ends_it_and_what_was_accepted_before_still_has_to_be_answered(self) -> None:
        lease = self.lease()
        lease.lapse(1.0)
        assert not lease.holds(1.0)
        lease.read(6, 1.5)
        assert lease.to_report(1.5) == 0
        lease.read(6, 3.0)
        assert lease.to_report(3.0) == 6

    def test_a_position_that_goes_back_ends_it(self) -> None:
        lease = self.lease()
        lease.read(4, 1.0)
        assert not lease.holds(1.0)

    def test_however_long_a_command_may_take_it_ends_before_others_take_us_for_gone(self) -> None:
        assert lease_seconds(1.5) == LEASE_SECONDS
        assert lease_seconds(10.0) + 10.0 == LIVE_SECONDS


class World:
    """Ingresses, a directory, a pulse and a mover; whatever can happen next happens in any order."""

    ACCEPT, ANSWER = 1.5, 2.0

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.directory_end = 1
        self.moved_at: int | None = None
        self.marked = False
        self.pulse: list[MapReport] = []
        self.heard = 0
        self.reports = Reports()
        count = chance.randint(1, 2)
        self.leases = [
            MapLease(lease_seconds=lease_seconds(self.ACCEPT), settle_seconds=self.ANSWER) for _ in range(count)
        ]
        self.position = [0] * count
        self.under_way: list[tuple[float, bool]] = []
        """When a command's partition was chosen, and whether by the old map."""
        self.sent: dict[int, tuple[int, float]] = {}
        self.unchecked: dict[int, tuple[int, float]] = {}
        self.moves_seen = 0
        for which in range(count):
            for do in (self.follow, self.send, self.acknowledge, self.check):
                do(which)
        self.listen()

    def step(self) -> None:
        which = self.chance.randrange(len(self.leases))
        of_one = (self.follow, self.read_anew, self.send, self.acknowledge, self.check, self.accept, self.accept)
        others = (self.wait, self.append, self.listen, self.change_the_map, self.mark)
        if self.chance.random() < 0.6:
            self.chance.choice(of_one)(which)
        else:
            self.chance.choice(others)()

    def wait(self) -> None:
        self.now += self.chance.choice((0.3, 1.0, 4.0, 9.0, 20.0))
        if any(self.now - at >= self.ANSWER for at, _ in self.under_way):
            self.append()

    def append(self) -> None:
        """What was accepted is appended now, and counts if that is in time."""
        for at, by_the_old in self.under_way:
            assert not (self.marked and by_the_old and self.now <= at + self.ACCEPT)
        self.under_way.clear()

    def listen(self) -> None:
        for each in self.pulse[self.heard :]:
            self.reports.heard(each, self.now)
        self.heard = len(self.pulse)

    def change_the_map(self) -> None:
        if self.moved_at is None:
            self.moved_at = self.directory_end
            self.directory_end += 1

    def mark(self) -> None:
        if self.moved_at is not None:
            self.listen()
            if not self.marked and not self.reports.behind(self.directory_end, self.now):
                self.marked = True
                self.moves_seen += bool(self.reports.live(self.now))

    def follow(self, which: int) -> None:
        self.position[which] = self.directory_end
        self.leases[which].read(self.directory_end, self.now)

    def read_anew(self, which: int) -> None:
        self.leases[which].lapse(self.now)
        self.position[which] = 0

    def send(self, which: int) -> None:
        self.leases[which].read(self.position[which], self.now)
        offset = self.leases[which].to_report(self.now)
        if offset is not None and which not in self.sent:
            self.sent[which] = offset, self.now

    def acknowledge(self, which: int) -> None:
        if which in self.sent:
            offset, sent_at = self.sent.pop(which)
            self.pulse.append(report(str(which), offset))
            self.leases[which].reported(offset, sent_at, self.now)
            self.unchecked[which] = self.directory_end, sent_at

    def check(self, which: int) -> None:
        if which in self.unchecked and not self.leases[which].holds(self.now):
            self.leases[which].read(self.position[which], self.now)
            self.leases[which].checked(*self.unchecked.pop(which))

    def accept(self, which: int) -> None:
        if self.leases[which].holds(self.now):
            by_the_old = self.moved_at is None or self.position[which] <= self.moved_at
            self.under_way.append((self.now, by_the_old))


def test_nothing_accepted_by_the_old_map_counts_behind_the_marker() -> None:
    moves = 0
    for seed in range(30_000):
        world = World(random.Random(seed))
        for _ in range(40):
            world.step()
        moves += world.moves_seen
    assert moves > 500, "it is worth something only if ingresses are alive when the marker is written"
