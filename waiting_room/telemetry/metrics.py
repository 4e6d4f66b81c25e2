"""Every metric is born here, with a sentence. Names and units by the Prometheus conventions."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)
_WAIT = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200)

# ingress
ACCEPT_SECONDS = Histogram(
    "waiting_room_accept_seconds", "From a booking's request to its answer.", ["outcome"], buckets=_FAST
)
REFUSED = Counter("waiting_room_refused_total", "Commands refused before anything was appended.", ["reason"])
PRODUCE_IN_FLIGHT = Gauge("waiting_room_produce_in_flight", "Commands waiting for Kafka's acknowledgement.")
WATCHERS = Gauge("waiting_room_watchers", "Open event streams and waiting requests.")
SLOT_DAYS = Counter(
    "waiting_room_slot_days_total", "Providers' days that were asked for, read from PostgreSQL or kept.", ["outcome"]
)

# hold
HOLD_WAIT = Histogram("waiting_room_hold_wait_seconds", "Appended until held or refused.", buckets=_FAST)
HELD = Counter("waiting_room_held_total", "Commands processed by hold.", ["outcome"])
HOLD_BATCH_SECONDS = Histogram("waiting_room_hold_batch_seconds", "One batch's transaction.", buckets=_FAST)
HOLD_WAITING = Gauge(
    "waiting_room_hold_waiting", "Commands of clinics that move, waiting for the rest of their old partitions."
)

# confirm
CONFIRM_WAIT = Histogram("waiting_room_confirm_wait_seconds", "Held until the clinic call starts.", buckets=_WAIT)
CLINIC_CALL = Histogram(
    "waiting_room_clinic_call_seconds", "One call at a clinic's system.", ["kind", "outcome"], buckets=_WAIT
)
DECIDE_SECONDS = Histogram("waiting_room_decide_seconds", "Accepted until decided.", ["status"], buckets=_WAIT)
ETA_OUTCOMES = Counter(
    "waiting_room_eta_outcomes_total", "Bookings decided, by whether within the p90 told at accept.", ["outcome"]
)
ETA_ERROR = Histogram(
    "waiting_room_eta_error_ratio",
    "How far the p50 told at accept was from the outcome, over that p50.",
    buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
)
CALLS_IN_FLIGHT = Gauge("waiting_room_calls_in_flight", "Clinic calls under way in this worker.")
LANE_WAITING = Gauge("waiting_room_lane_waiting", "Bookings waiting in this worker's lanes.")
PARTITIONS_PAUSED = Gauge("waiting_room_partitions_paused", "Partitions paused because a lane is full.")
BREAKERS_OPEN = Gauge("waiting_room_breakers_open", "Clinics that are taken to be down.")
LINES_WAITING = Gauge(
    "waiting_room_lines_waiting",
    "Clinics whose line waits, by why: worker, clinic, breaker or parked.",
    ["why"],
)
BOOKINGS_WAITING = Gauge("waiting_room_bookings_waiting", "Undecided bookings of those clinics.", ["why"])
CALLS_NEEDED = Gauge(
    "waiting_room_confirm_calls_needed", "Calls at once that this worker's clinics need to meet the wait target."
)
CALLS_MAX = Gauge("waiting_room_confirm_calls_max", "Calls at once that this worker carries.")
WORKERS_DESIRED = Gauge("waiting_room_confirm_workers_desired", "Confirm workers that carry the calls needed.")
WORKERS_RUNNING = Gauge("waiting_room_confirm_workers_running", "Confirm workers that the supervisor has running.")
REBALANCES = Counter(
    "waiting_room_confirm_rebalances_total",
    "Times the supervised workers had to share the partitions anew, by why: up, down, or a worker died.",
    ["why"],
)
RETRIES = Counter("waiting_room_retries_total", "Clinic calls that will be made again.", ["kind"])

# relay, webhooks, notify, sweep
OUTBOX_DELAY = Histogram("waiting_room_outbox_delay_seconds", "Event committed until published.", buckets=_FAST)
PUBLISHED = Counter("waiting_room_published_total", "Events published.")
WEBHOOK_DELAY = Histogram(
    "waiting_room_webhook_delay_seconds", "Event committed until its webhook is answered 2xx.", buckets=_WAIT
)
WEBHOOK_ATTEMPTS = Counter("waiting_room_webhook_attempts_total", "Webhook deliveries tried.", ["outcome"])
REMINDER_DELAY = Histogram(
    "waiting_room_reminder_delay_seconds", "Reminder due until a gateway took it.", buckets=_WAIT
)
NOTIFICATION_DELAY = Histogram(
    "waiting_room_notification_delay_seconds", "Any other message due until a gateway took it.", buckets=_WAIT
)
NOTIFICATIONS = Counter(
    "waiting_room_notifications_total", "Messages to patients, by what one attempt came to.", ["channel", "outcome"]
)
NOTIFICATIONS_IN_HAND = Gauge(
    "waiting_room_notifications_in_hand", "Messages this worker will send, once they are due."
)
SWEPT = Counter("waiting_room_swept_total", "Bookings that sweep moved on.", ["kind"])

# everyone
LOOP_LAG = Gauge("waiting_room_event_loop_lag_seconds", "How late the process's event loop last ran a timer.")
DEAD_LETTERS = Counter("waiting_room_dead_letters_total", "Records put aside as unreadable or failing.", ["topic"])
