"""Pipeline: each stage's wait, rate and lag, in the order in which a booking passes them."""

from __future__ import annotations

from dashboards.board import Board, Panel, Query, Row, quantiles, rate_by

BOARD = Board(
    uid="waiting-room-pipeline",
    title="Pipeline",
    says="Each stage's wait, rate and lag in seconds, in the order in which a booking passes them.",
    rows=(
        Row(
            "Ingress",
            (
                Panel(
                    title="Accept latency",
                    says="Of accepted bookings. Promise: p99 under 200 ms; goal: p99 under 50 ms, p50 under 5 ms.",
                    unit="s",
                    queries=quantiles("waiting_room_accept_seconds", "0.5", "0.99", labels='{outcome="accepted"}'),
                    promise=0.2,
                    alert="AcceptBudgetBurnsFast",
                ),
                Panel(
                    title="Waiting for Kafka, and watchers",
                    says="Commands that Kafka has not acknowledged, and open event streams.",
                    unit="short",
                    queries=(
                        Query("sum(waiting_room_produce_in_flight)", "commands"),
                        Query("sum(waiting_room_watchers)", "watchers"),
                    ),
                ),
                Panel(
                    title="Appended and not yet held",
                    says="In the fullest partition. Above its bound (20,000) bookings are refused.",
                    unit="short",
                    queries=(Query("max(waiting_room_unheld)", "records"),),
                    promise=20_000,
                    alert="ConsumerStalled",
                ),
            ),
        ),
        Row(
            "What is free",
            (
                Panel(
                    title="Finding out what is free",
                    says="Promise: p99 under 200 ms; goal: under 25 ms. Nearly all of a request for slots.",
                    unit="s",
                    queries=(
                        *quantiles("waiting_room_slots_seconds", "0.5"),
                        Query("waiting_room:slots_seconds:p99_rate5m", "p99"),
                    ),
                    promise=0.2,
                    alert="SlotsSlow",
                ),
                Panel(
                    title="Providers' days asked for",
                    says="By whether they were kept from before or read from PostgreSQL. Kept ones cost little.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_slot_days_total"),),
                    kind="stack",
                ),
                Panel(
                    title="The waitlist",
                    says="Bookings that wait for a seat to come free, and those that were offered one and have not "
                    "answered.",
                    unit="short",
                    queries=(Query("max by (state) (waiting_room_waitlisted)", "{{state}}"),),
                ),
            ),
        ),
        Row(
            "Hold",
            (
                Panel(
                    title="Hold wait",
                    says="Appended until held or refused. Where the platform keeps the calendar this is the decision: "
                    "under 1 s.",
                    unit="s",
                    queries=(
                        Query("waiting_room:hold_wait_seconds:p50_rate5m", "p50"),
                        Query("waiting_room:hold_wait_seconds:p99_rate5m", "p99"),
                    ),
                    promise=1.0,
                    alert="HoldSlow",
                ),
                Panel(
                    title="Held and decided by hold",
                    says="By outcome; `discarded` came later than its caller was promised.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_held_total"),),
                    kind="stack",
                ),
                Panel(
                    title="A batch's transaction, and commands that wait for a move",
                    says="Batches stay small, so that outcomes do not wait behind them. Commands of a clinic "
                    "that moves "
                    "wait for its marker.",
                    unit="s",
                    queries=(
                        *quantiles("waiting_room_hold_batch_seconds", "0.5", "0.99"),
                        Query("sum(waiting_room_hold_waiting)", "commands of clinics that move"),
                    ),
                ),
            ),
        ),
        Row(
            "Confirm",
            (
                Panel(
                    title="Confirm wait",
                    says="Held until the clinic call starts. A minute is what the workers are scaled for.",
                    unit="s",
                    queries=(
                        Query("waiting_room:confirm_wait_seconds:p50_rate5m", "p50"),
                        Query("waiting_room:confirm_wait_seconds:p99_rate5m", "p99"),
                    ),
                    promise=60.0,
                    alert="BookingsWaitTooLong",
                ),
                Panel(
                    title="Clinic calls",
                    says="By outcome. Everything but an answer is tried again or parked.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_clinic_call_seconds_count"),),
                    kind="stack",
                    alert="ManyClinicsDown",
                ),
                Panel(
                    title="Accepted until decided",
                    says="All stages together. Promise: 99% within 15 minutes or the p90 told.",
                    unit="s",
                    queries=(
                        Query("waiting_room:decide_seconds:p50_rate5m", "p50"),
                        Query("waiting_room:decide_seconds:p99_rate5m", "p99"),
                    ),
                    promise=900,
                    alert="ProcessingBudgetBurnsFast",
                ),
                Panel(
                    title="Retries, parked, put aside",
                    says="Calls that are made again, bookings that left their lane for a while, records for a person.",
                    unit="reqps",
                    queries=(
                        Query("sum(rate(waiting_room_retries_total[5m]))", "retries"),
                        Query("sum(rate(waiting_room_parked_total[5m]))", "parked"),
                        Query("sum by (topic) (rate(waiting_room_dead_letters_total[5m]))", "put aside: {{topic}}"),
                    ),
                    alert="DeadLettersGrow",
                    width=6,
                ),
                Panel(
                    title="Moved on by sweep",
                    says="Holds that expired or got more time, offers that ran out, bookings that were rung for again "
                    "because nobody had them.",
                    unit="reqps",
                    queries=(rate_by("kind", "waiting_room_swept_total", "5m"),),
                    width=6,
                ),
                Panel(
                    title="Archiving late",
                    says="How long ago the oldest booking that is over could have been archived. Minutes; where it "
                    "stays, something is open.",
                    unit="s",
                    queries=(Query("max(waiting_room_archive_late_seconds)", "late"),),
                    promise=7 * 86_400,
                    alert="ArchiveLate",
                    width=6,
                ),
                Panel(
                    title="Lanes",
                    says="Bookings in the workers' memory, and partitions not read because a lane is full.",
                    unit="short",
                    queries=(
                        Query("sum(waiting_room_lane_waiting)", "bookings"),
                        Query("sum(waiting_room_partitions_paused)", "paused partitions"),
                    ),
                    width=6,
                ),
            ),
        ),
        Row(
            "Eligibility",
            (
                Panel(
                    title="Bookings verified",
                    says="By outcome. `assumed` went on because nobody could say, `waits` is asked for again.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_verified_total"),),
                    kind="stack",
                    alert="EligibilityAway",
                ),
                Panel(
                    title="Questions to the eligibility system",
                    says="By outcome, and those answered from memory. Its breaker is open while `away` is 1.",
                    unit="short",
                    queries=(
                        rate_by("outcome", "waiting_room_eligibility_call_seconds_count"),
                        Query('sum(rate(waiting_room_eligibility_cache_total{outcome="hit"}[1m]))', "from memory"),
                        Query("max(waiting_room_eligibility_away)", "away"),
                    ),
                    alert="EligibilityAway",
                ),
                Panel(
                    title="What a question takes",
                    says="Answered or not; the deadline is 3 s.",
                    unit="s",
                    queries=quantiles("waiting_room_eligibility_call_seconds", "0.5", "0.99"),
                    promise=3.0,
                    alert="EligibilityAway",
                ),
            ),
        ),
        Row(
            "Lag",
            (
                Panel(
                    title="Consumer lag",
                    says="Age of the oldest record that is not committed, the worst partition of each group. Of "
                    "`confirm` "
                    "it is as old as its slowest clinic's line; of the others it should be seconds.",
                    unit="s",
                    queries=(Query("waiting_room:consumer_lag_seconds:max", "{{group}}"),),
                    promise=120,
                    alert="PartitionStuck",
                ),
                Panel(
                    title="Lag by partition",
                    says="The ten partitions that are furthest behind.",
                    unit="s",
                    queries=(
                        Query("topk(10, waiting_room_consumer_lag_seconds > 0)", "{{group}} {{topic}} {{partition}}"),
                    ),
                    alert="PartitionStuck",
                ),
                Panel(
                    title="Committed",
                    says="Records a second by group, and those read and not committed. Nothing committed while "
                    "some are "
                    "read is a stalled consumer, whatever the lag says.",
                    unit="short",
                    queries=(
                        Query("waiting_room:committed_records:rate5m", "{{group}}"),
                        Query("sum by (group) (waiting_room_uncommitted_records)", "{{group}}: not committed"),
                    ),
                    alert="ConsumerStalled",
                ),
            ),
        ),
    ),
)
