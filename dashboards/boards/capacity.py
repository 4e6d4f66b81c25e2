"""Capacity and cost: what runs, how full it is, and what a thousand bookings cost."""

from __future__ import annotations

from dashboards.board import Board, Panel, Query, Row, quantiles, rate_by

BOARD = Board(
    uid="waiting-room-capacity",
    title="Capacity and cost",
    says="What runs, how full it is, and what a thousand bookings cost.",
    rows=(
        Row(
            "Workers",
            (
                Panel(
                    title="Calls: needed, under way, carried",
                    says="Calls at once that meet the wait target, that are made, and that the running workers "
                    "can carry.",
                    unit="short",
                    queries=(
                        Query("sum(waiting_room_confirm_calls_needed)", "needed"),
                        Query("sum(waiting_room_calls_in_flight)", "under way"),
                        Query("sum(waiting_room_confirm_calls_max)", "carried"),
                    ),
                    alert="WorkersMissing",
                ),
                Panel(
                    title="The local supervisor",
                    says="On one machine: workers it wants and has. In a cluster its autoscaler does the same.",
                    unit="short",
                    queries=(
                        Query("sum(waiting_room_confirm_workers_desired)", "desired"),
                        Query("sum(waiting_room_confirm_workers_running)", "running"),
                    ),
                ),
                Panel(
                    title="Rebalances",
                    says="By why the workers had to share the partitions anew, over ten minutes. Few is good.",
                    unit="short",
                    queries=(Query("sum by (why) (increase(waiting_room_confirm_rebalances_total[10m]))", "{{why}}"),),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    title="Event-loop lag, p99",
                    says="How late a process runs a timer: everything in it waits as long. The five worst.",
                    unit="s",
                    queries=(
                        Query(
                            "topk(5, histogram_quantile(0.99, "
                            "sum by (instance, le) (rate(waiting_room_event_loop_lag_seconds_bucket[5m]))))",
                            "{{instance}}",
                        ),
                    ),
                    promise=0.25,
                    alert="EventLoopLate",
                    width=6,
                ),
                Panel(
                    title="Waiting for a connection",
                    says="To PostgreSQL.",
                    unit="s",
                    queries=quantiles("waiting_room_pool_wait_seconds", "0.5", "0.99"),
                    promise=1,
                    alert="DatabasePoolExhausted",
                    width=6,
                ),
                Panel(
                    title="Connections",
                    says="To PostgreSQL: used, idle, and the most that the processes may hold.",
                    unit="short",
                    queries=(Query("sum by (state) (waiting_room_pool_connections)", "{{state}}"),),
                    alert="DatabasePoolExhausted",
                    width=6,
                ),
                Panel(
                    title="Months of seat claims",
                    says="Days beyond the furthest that may be booked for which there are months, and days for which "
                    "the oldest month is overdue to be put away.",
                    unit="d",
                    queries=(
                        Query("min(waiting_room_claim_days_spare)", "to spare"),
                        Query("max(waiting_room_claim_days_overdue)", "overdue"),
                    ),
                    alert="StorageNotKept",
                    width=6,
                ),
            ),
        ),
        Row(
            "Keys",
            (
                Panel(
                    title="Sealed under a master key that is not known",
                    says="Times a second that a process was to open something that is sealed under a master key which "
                    "it is not told of. Anything but nothing is a mistake in its environment.",
                    unit="reqps",
                    queries=(
                        Query("sum by (instance) (rate(waiting_room_master_key_unknown_total[5m]))", "{{instance}}"),
                    ),
                    alert="MasterKeyUnknown",
                    width=24,
                ),
            ),
        ),
        Row(
            "Hot tier",
            (
                Panel(
                    title="Hot tier: what was looked up",
                    says="Keys a second: hits save reading; faults and what is not asked while it is away cost time, "
                    "nothing else.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_hot_tier_keys_total"),),
                    kind="stack",
                ),
                Panel(
                    title="Hot tier: written, and processes that do without",
                    says="Values a second, and how many processes are set to use it and do not: it does not answer.",
                    unit="short",
                    queries=(
                        rate_by("outcome", "waiting_room_hot_tier_writes_total"),
                        Query("sum(waiting_room_hot_tier_away)", "processes without"),
                    ),
                    alert="HotTierAway",
                ),
                Panel(
                    title="Bookings of a time that was marked as taken",
                    says="A second: refused at once, or accepted since a seat was free, the key has a booking, or "
                    "nobody could be sure.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_contested_total"),),
                    kind="stack",
                ),
            ),
        ),
        Row(
            "Cost",
            (
                Panel(
                    title="Bookings decided",
                    says="A second.",
                    unit="reqps",
                    queries=(Query("waiting_room:decided:rate5m", "decided"),),
                    width=6,
                ),
                Panel(
                    title="Processors used",
                    says="By our own processes.",
                    unit="short",
                    queries=(Query("waiting_room:cpu_cores:rate5m", "cores"),),
                    width=6,
                ),
                Panel(
                    title="CPU for 1,000 bookings",
                    says="Of our own processes. Times what a second of a core costs, it is the price.",
                    unit="s",
                    queries=(Query("waiting_room:cpu_seconds_per_1000_bookings:rate15m", "CPU seconds"),),
                    width=6,
                ),
                Panel(
                    title="Clinic calls for 1,000 bookings",
                    says="1,000 is one call each; the rest are look-ups, retries and withdrawals.",
                    unit="short",
                    queries=(Query("waiting_room:calls_per_1000_bookings:rate15m", "calls"),),
                    width=6,
                ),
            ),
        ),
    ),
)
