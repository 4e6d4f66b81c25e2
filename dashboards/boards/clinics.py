"""Clinics: those that matter now, and one of them looked at closely."""

from __future__ import annotations

from dashboards.board import CLINIC, Board, Panel, Query, Row, quantiles, rate_by, worst_clinics

_CHOSEN = f'{{clinic=~"{CLINIC}"}}'
BOARD = Board(
    uid="waiting-room-clinics",
    title="Clinics",
    says="Limits, calls, latency and breakers of the clinics that matter now: each process tells of at most 50, "
    "those that "
    "are down and those with the longest lines. Choose some at the top to look at them alone.",
    by_clinic=True,
    rows=(
        Row(
            "The chosen clinics",
            (
                Panel(
                    title="Line",
                    says="Undecided bookings.",
                    unit="short",
                    queries=(worst_clinics("waiting_room_clinic_line", 20, _CHOSEN),),
                ),
                Panel(
                    title="Oldest wait",
                    says="Accepted and still undecided for so long.",
                    unit="s",
                    queries=(worst_clinics("waiting_room_clinic_oldest_wait_seconds", 20, _CHOSEN),),
                    promise=900,
                    alert="BookingsWaitTooLong",
                ),
                Panel(
                    title="Breaker",
                    says="1 while the clinic is taken to be down; one real booking probes it now and then.",
                    unit="short",
                    queries=(Query(f"max by (clinic) (waiting_room_clinic_breaker_open{_CHOSEN}) > 0", "{{clinic}}"),),
                    promise=1,
                    alert="ClinicDown",
                ),
                Panel(
                    title="Limit",
                    says="Calls at once that the clinic may have: found by trying, never above what it declared.",
                    unit="short",
                    queries=(worst_clinics("waiting_room_clinic_limit", 20, _CHOSEN),),
                ),
                Panel(
                    title="In flight",
                    says="Calls that the clinic has. At its limit while it has a line.",
                    unit="short",
                    queries=(worst_clinics("waiting_room_clinic_in_flight", 20, _CHOSEN),),
                ),
                Panel(
                    title="What a booking takes",
                    says="Of one of the clinic's slots: the call, and its claim.",
                    unit="s",
                    queries=(worst_clinics("waiting_room_clinic_call_mean_seconds", 20, _CHOSEN),),
                    alert="ClinicDown",
                ),
            ),
        ),
        Row(
            "All clinics",
            (
                Panel(
                    title="Line, over clinics",
                    says="Half, nine tenths, 99% of the clinics with a line have one no longer than this.",
                    unit="short",
                    queries=(Query("max by (quantile) (waiting_room_line_bookings)", "{{quantile}}"),),
                ),
                Panel(
                    title="Clinics with a line",
                    says="That are up, and that are down.",
                    unit="short",
                    queries=(Query("max by (state) (waiting_room_clinics_waiting)", "{{state}}"),),
                    kind="stack",
                    alert="ManyClinicsDown",
                ),
                Panel(
                    title="Lines by why they wait",
                    says="Clinics whose line waits for a worker, for the clinic, for a clinic that is down, for "
                    "a later try.",
                    unit="short",
                    queries=(Query("sum by (why) (waiting_room_lines_waiting)", "{{why}}"),),
                    kind="stack",
                ),
                Panel(
                    title="One call at a clinic",
                    says="All clinics together. 1-3 s is usual; the deadline is 10 s.",
                    unit="s",
                    queries=(
                        Query("waiting_room:clinic_call_seconds:p50_rate5m", "p50"),
                        Query("waiting_room:clinic_call_seconds:p99_rate5m", "p99"),
                    ),
                    promise=10,
                    alert="ManyClinicsDown",
                ),
                Panel(
                    title="ETA: within the p90 told",
                    says="Bookings decided within the p90 told at accept, over an hour. Promise: 85-95%.",
                    unit="percentunit",
                    queries=(Query("waiting_room:eta_within_p90:ratio_rate1h", "within"),),
                    promise=0.85,
                    least=True,
                    alert="EtaMisleads",
                ),
                Panel(
                    title="ETA error",
                    says="How far the p50 told was from the outcome, over that p50.",
                    unit="percentunit",
                    queries=quantiles("waiting_room_eta_error_ratio", "0.5", "0.9"),
                    alert="EtaMisleads",
                ),
            ),
        ),
        Row(
            "What clinics have booked themselves",
            (
                Panel(
                    title="Clinics' systems asked what they have booked and cancelled",
                    says="By outcome. Where it failed their calendars here are as old as the last time it did not.",
                    unit="short",
                    queries=(rate_by("outcome", "waiting_room_clinic_changes_total"),),
                    width=12,
                ),
                Panel(
                    title="Calendars read that providers are subscribed to",
                    says="By outcome. Where it failed what was read last stands; GET busy-feed tells the clinic why.",
                    unit="short",
                    queries=(rate_by("outcome", "waiting_room_busy_feeds_total"),),
                    width=12,
                ),
            ),
        ),
    ),
)
