"""Monday at a glance: are patients served, and if not, who waits for what."""

from __future__ import annotations

from dashboards.board import Board, Panel, Query, Row, rate_by, worst_clinics

BOARD = Board(
    uid="waiting-room-monday",
    title="Monday at a glance",
    says="Both service level objectives and their error budgets, who waits, why, and whether enough workers run.",
    rows=(
        Row(
            "Promises",
            (
                Panel(
                    title="Accept: budget left",
                    says="Of the 0.1% of bookings in 30 days that may be told later than 200 ms, or not at all.",
                    unit="percentunit",
                    queries=(Query("waiting_room:accept_budget_left:ratio", "left"),),
                    kind="stat",
                    promise=0.0,
                    least=True,
                    alert="AcceptBudgetBurnsSlowly",
                    width=4,
                ),
                Panel(
                    title="Accept p99",
                    says='From a booking\'s request to "we have your booking". Promise: under 200 ms; goal: 50 ms.',
                    unit="s",
                    queries=(Query("waiting_room:accept_seconds:p99_rate5m", "p99"),),
                    kind="stat",
                    promise=0.2,
                    alert="AcceptBudgetBurnsFast",
                    width=4,
                ),
                Panel(
                    title="Decided in time: budget left",
                    says="Of the 1% of bookings in 30 days that may be decided later than the p90 told, or 15 minutes.",
                    unit="percentunit",
                    queries=(Query("waiting_room:processing_budget_left:ratio", "left"),),
                    kind="stat",
                    promise=0.0,
                    least=True,
                    alert="ProcessingBudgetBurnsSlowly",
                    width=4,
                ),
                Panel(
                    title="Oldest wait",
                    says="The longest that an accepted booking is undecided, at clinics that are up. Promise: "
                    "15 minutes.",
                    unit="s",
                    queries=(Query('waiting_room:oldest_wait_seconds:max{state="up"}', "oldest"),),
                    kind="stat",
                    promise=900,
                    alert="BookingsWaitTooLong",
                    width=4,
                ),
                Panel(
                    title="Undecided",
                    says="Accepted bookings that wait for a decision, at clinics that are up and at those that "
                    "are down.",
                    unit="short",
                    queries=(Query("waiting_room:undecided:max", "{{state}}"),),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    title="Clinics down",
                    says="Clinics that are taken to be down by the worker that calls them.",
                    unit="short",
                    queries=(Query("sum(waiting_room_breakers_open)", "down"),),
                    kind="stat",
                    promise=1,
                    alert="ManyClinicsDown",
                    width=4,
                ),
                Panel(
                    title="How fast the budgets burn",
                    says="Bad bookings over an hour, as a multiple of what the objective allows. 1 uses the "
                    "budget up in "
                    "30 days; 14.4 in two, and pages somebody.",
                    unit="short",
                    queries=(
                        Query("waiting_room:accept_bad:ratio_rate1h / 0.001", "accept"),
                        Query("waiting_room:processing_bad:ratio_rate1h / 0.01", "decided in time"),
                    ),
                    promise=14.4,
                    alert="AcceptBudgetBurnsFast",
                    width=12,
                ),
                Panel(
                    title="Answers to bookings",
                    says="By outcome: accepted; refused for load (429); none and unknown (503); invalid; error.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_accept_seconds_count"),),
                    kind="stack",
                    width=12,
                ),
            ),
        ),
        Row(
            "Who waits, and for what",
            (
                Panel(
                    title="Queue wait: held until the clinic call starts",
                    says="How many bookings began their call after so long a wait. It is the health signal: the "
                    "workers are "
                    "scaled so that it stays under a minute where the clinic allows.",
                    unit="s",
                    queries=(Query("sum by (le) (increase(waiting_room_confirm_wait_seconds_bucket[1m]))", "{{le}}"),),
                    kind="heat",
                    alert="BookingsWaitTooLong",
                    width=12,
                ),
                Panel(
                    title="Why lines wait",
                    says="Undecided bookings by what they wait for. More workers help the kind `worker` only; "
                    "`clinic` is "
                    "the clinic's own pace, `breaker` a clinic that is down, `parked` a later try.",
                    unit="short",
                    queries=(Query("waiting_room:bookings_waiting:by_why", "{{why}}"),),
                    kind="stack",
                    alert="WorkersMissing",
                    width=12,
                ),
                Panel(
                    title="Oldest wait by clinic",
                    says="The clinics whose oldest booking has waited longest; at most 50 are told of at a time.",
                    unit="s",
                    queries=(worst_clinics("waiting_room_clinic_oldest_wait_seconds", 10),),
                    promise=900,
                    alert="BookingsWaitTooLong",
                    width=12,
                ),
                Panel(
                    title="Oldest wait over all clinics",
                    says="Half, nine tenths, 99% of the clinics with a line have an oldest booking younger than this.",
                    unit="s",
                    queries=(Query("max by (quantile) (waiting_room_oldest_wait_by_clinic_seconds)", "{{quantile}}"),),
                    promise=900,
                    alert="BookingsWaitTooLong",
                    width=12,
                ),
            ),
        ),
        Row(
            "Is there enough of us",
            (
                Panel(
                    title="Confirm workers",
                    says="Desired by what the clinics can use, and running. Running stays above desired for a while: "
                    "workers go slowly.",
                    unit="short",
                    queries=(
                        Query("waiting_room:confirm_workers_desired", "desired"),
                        Query("waiting_room:confirm_workers_running", "running"),
                    ),
                    alert="WorkersMissing",
                ),
                Panel(
                    title="Refused",
                    says="Commands refused before anything was appended, and live streams, by reason. "
                    "A 429 tells when to come back.",
                    unit="reqps",
                    queries=(rate_by("reason", "waiting_room_refused_total"),),
                    kind="stack",
                    alert="AcceptBudgetBurnsFast",
                ),
                Panel(
                    title="Parts that are ready",
                    says="Processes of each role that do their work. None of a role is an alarm.",
                    unit="short",
                    queries=(Query("sum by (role) (waiting_room_ready)", "{{role}}"),),
                    alert="RoleNotReady",
                ),
            ),
        ),
    ),
)
