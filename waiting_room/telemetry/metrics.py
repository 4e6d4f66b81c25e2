"""Every metric is born here, with a sentence. Names and units by the Prometheus conventions.

Buckets have a bound at every promise: 0.2 s to accept, 1 s to decide where the platform keeps the calendar, 60 s for
a reminder and for the wait that scales the workers, 900 s to decide at all. Labels are closed lists but for ``clinic``
and ``partition``: only ``telemetry/shown.py`` sets the first, for a few clinics at a time, and partitions are counted.
docs/metrics.md tells who reads each.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside every counter, which nobody reads

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)
_PASS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
"""From one part to the next: milliseconds on a good day, minutes while something is away."""
_CALL = (0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 30)
"""Clinics take 1-3 s a call; its deadline is 10 s."""
_WAIT = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

# ingress
ACCEPT_SECONDS = Histogram(
    "waiting_room_accept_seconds",
    "From a booking's request to its answer. Outcomes: accepted, refused (429; 409 for a time that is taken), "
    "none or unknown (503), invalid, error.",
    ["outcome"],
    buckets=_FAST,
)
REFUSED = Counter(
    "waiting_room_refused_total", "Commands refused before anything was appended, and streams.", ["reason"]
)
PRODUCE_IN_FLIGHT = Gauge("waiting_room_produce_in_flight", "Commands waiting for Kafka's acknowledgement.")
UNHELD = Gauge("waiting_room_unheld", "Appended but not yet held in the fullest partition, as far as this ingress saw.")
WATCHERS = Gauge("waiting_room_watchers", "Open event streams and waiting requests.")
SLOTS_SECONDS = Histogram(
    "waiting_room_slots_seconds", "Finding out what is free: all but reading the request and writing it.", buckets=_FAST
)
SLOT_DAYS = Counter(
    "waiting_room_slot_days_total",
    "Providers' days that were asked for: read from PostgreSQL, shared by the hot tier, or kept.",
    ["outcome"],
)
PASSES_OPENED = Counter(
    "waiting_room_passes_opened_total",
    "Links in messages that their patients opened: opened, or refused since they had ended, were revoked or are none.",
    ["outcome"],
)
CONTESTED = Counter(
    "waiting_room_contested_total",
    "Bookings of a time marked as taken: refused, or taken in since it was free, the key known, or nobody sure.",
    ["outcome"],
)

# the hot tier, in ingress and hold
HOT_TIER_AWAY = Gauge("waiting_room_hot_tier_away", "Whether the hot tier is set and not asked: it did not answer.")
HOT_TIER_KEYS = Counter(
    "waiting_room_hot_tier_keys_total", "Keys looked up: hit, miss, fault, or unasked while it is away.", ["outcome"]
)
HOT_TIER_WRITES = Counter(
    "waiting_room_hot_tier_writes_total", "Values to be kept or forgotten: written, fault, or left_out.", ["outcome"]
)

# hold
HOLD_WAIT = Histogram("waiting_room_hold_wait_seconds", "Appended until held or refused.", buckets=_PASS)
HELD = Counter("waiting_room_held_total", "Commands processed by hold.", ["outcome"])
HOLD_BATCH_SECONDS = Histogram("waiting_room_hold_batch_seconds", "One batch's transaction.", buckets=_FAST)
HOLD_WAITING = Gauge(
    "waiting_room_hold_waiting", "Commands of clinics that move, waiting for the rest of their old partitions."
)

# confirm
CONFIRM_WAIT = Histogram("waiting_room_confirm_wait_seconds", "Held until the clinic call starts.", buckets=_WAIT)
CLINIC_CALL = Histogram(
    "waiting_room_clinic_call_seconds", "One call at a clinic's system.", ["kind", "outcome"], buckets=_CALL
)
ETA_ERROR = Histogram(
    "waiting_room_eta_error_ratio",
    "How far the p50 told at accept was from the outcome, over that p50.",
    buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
)
ETA_OUTCOMES = Counter(
    "waiting_room_eta_outcomes_total", "Bookings decided, by whether within the p90 told at accept.", ["outcome"]
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
RETRIES = Counter("waiting_room_retries_total", "Clinic calls that will be made again.", ["kind"])
PARKED = Counter("waiting_room_parked_total", "Bookings taken out of their lane until their next attempt is due.")
ELIGIBILITY_CALL = Histogram(
    "waiting_room_eligibility_call_seconds",
    "One question to the eligibility system. Outcomes: eligible, not_eligible, overloaded, unavailable.",
    ["outcome"],
    buckets=_CALL,
)
ELIGIBILITY_CACHE = Counter(
    "waiting_room_eligibility_cache_total",
    "Questions of eligibility, by whether the answer was known (hit) or had to be asked for (miss).",
    ["outcome"],
)
CLINIC_CHANGES = Counter(
    "waiting_room_clinic_changes_total",
    "Times a clinic's system was asked what it has booked or cancelled itself: read, failed, or to be read anew.",
    ["outcome"],
)
BUSY_FEEDS = Counter(
    "waiting_room_busy_feeds_total",
    "Times a calendar that a provider is subscribed to was read: changed, unchanged or failed.",
    ["outcome"],
)
ELIGIBILITY_AWAY = Gauge("waiting_room_eligibility_away", "Whether the eligibility system is taken to be down: 1 or 0.")
VERIFIED = Counter(
    "waiting_room_verified_total",
    "Bookings whose eligibility was to be asked for: eligible, not_eligible, assumed (nobody could say), waits, or "
    "nobody (their patient cannot be read).",
    ["outcome"],
)
CLINIC_LINE = Gauge("waiting_room_clinic_line", "Undecided bookings of a clinic that matters now.", ["clinic"])
CLINIC_LIMIT = Gauge("waiting_room_clinic_limit", "Calls at once that such a clinic may have.", ["clinic"])
CLINIC_IN_FLIGHT = Gauge("waiting_room_clinic_in_flight", "Calls that such a clinic has.", ["clinic"])
CLINIC_CALL_MEAN = Gauge(
    "waiting_room_clinic_call_mean_seconds", "What a booking takes a slot of such a clinic, claim included.", ["clinic"]
)
CLINIC_BREAKER_OPEN = Gauge(
    "waiting_room_clinic_breaker_open", "Whether such a clinic is taken to be down: 1 or 0.", ["clinic"]
)

# supervise
WORKERS_DESIRED = Gauge("waiting_room_confirm_workers_desired", "Confirm workers that carry the calls needed.")
WORKERS_RUNNING = Gauge("waiting_room_confirm_workers_running", "Confirm workers that the supervisor has running.")
REBALANCES = Counter(
    "waiting_room_confirm_rebalances_total",
    "Times the supervised workers had to share the partitions anew, by why: up, down, or a worker died.",
    ["why"],
)

# hold, confirm and sweep decide
DECIDE_SECONDS = Histogram(
    "waiting_room_decide_seconds", "Accepted until decided, by what it was decided to be.", ["status"], buckets=_WAIT
)
PROCESSED = Counter(
    "waiting_room_processed_total",
    "Bookings decided, by whether within the promise: the p90 told at accept or 15 minutes, whichever is longer.",
    ["outcome"],
)

# relay, webhooks, notify
OUTBOX_DELAY = Histogram("waiting_room_outbox_delay_seconds", "Event committed until published.", buckets=_PASS)
OUTBOX_OLDEST = Gauge("waiting_room_outbox_oldest_seconds", "Age of the oldest event that is not published yet.")
PUBLISHED = Counter("waiting_room_published_total", "Events published, by what happened: a closed list.", ["kind"])
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
WEBHOOK_ENDPOINTS_DOWN = Gauge("waiting_room_webhook_endpoints_down", "Webhook endpoints that are taken to be down.")
WEBHOOK_DISABLED = Counter(
    "waiting_room_webhook_endpoints_disabled_total", "Webhook endpoints switched off by the service.", ["reason"]
)
WEBHOOKS_IN_FLIGHT = Gauge("waiting_room_webhooks_in_flight", "Webhook deliveries under way in this worker.")

# sweep: what PostgreSQL says of all lines, whoever works on them; every sweep says the same
SWEPT = Counter(
    "waiting_room_swept_total", "Bookings that sweep moved on; left_out: those that a fault kept it from.", ["kind"]
)
SWEPT.labels("left_out")  # from nothing to one is no increase, from zero it is
ARCHIVE_LATE = Gauge(
    "waiting_room_archive_late_seconds", "The oldest booking that is over could have been archived so long ago."
)
CLAIM_DAYS_SPARE = Gauge(
    "waiting_room_claim_days_spare", "Days beyond the furthest that may be booked for which seats can be claimed."
)
CLAIM_DAYS_OVERDUE = Gauge(
    "waiting_room_claim_days_overdue", "So long ago the oldest month of seat claims should have been put away."
)
WAITLISTED = Gauge(
    "waiting_room_waitlisted", "Bookings that wait for a seat: waiting, or asked whether one will do.", ["state"]
)
OLDEST_WAIT = Gauge(
    "waiting_room_oldest_wait_seconds",
    "Accepted and still undecided for so long, the longest at clinics that are up, or down.",
    ["state"],
)
CLINIC_OLDEST_WAIT = Gauge(
    "waiting_room_clinic_oldest_wait_seconds", "The same of a clinic that matters now.", ["clinic"]
)
UNDECIDED = Gauge("waiting_room_undecided", "Undecided bookings at clinics that are up, or down.", ["state"])
CLINICS_WAITING = Gauge("waiting_room_clinics_waiting", "Clinics with a line that are up, or down.", ["state"])
LINE_QUANTILE = Gauge("waiting_room_line_bookings", "Lines of clinics that have one, by quantile.", ["quantile"])
OLDEST_WAIT_QUANTILE = Gauge(
    "waiting_room_oldest_wait_by_clinic_seconds", "Oldest waits of clinics with a line, by quantile.", ["quantile"]
)

# everyone who opens what is sealed: hold, confirm, webhooks, notify and, for patients' keys, ingress
MASTER_KEY_UNKNOWN = Counter(
    "waiting_room_master_key_unknown_total",
    "Times something was to be opened that is sealed under a master key which this process is not told of.",
)

# everyone
READY = Gauge("waiting_room_ready", "Whether a role does its work in this process: 1 or 0.", ["role"])
LOOP_LAG = Histogram(
    "waiting_room_event_loop_lag_seconds", "How late the process's event loop runs a timer.", buckets=_LAG
)
POOL_CONNECTIONS = Gauge("waiting_room_pool_connections", "Connections to PostgreSQL, by state.", ["state"])
POOL_WAIT = Histogram("waiting_room_pool_wait_seconds", "Waiting for a connection to PostgreSQL.", buckets=_FAST)
CONSUMER_LAG = Gauge(
    "waiting_room_consumer_lag_seconds",
    "Age of the oldest record read and not committed, by the record's own time; 0 when all is.",
    ["group", "topic", "partition"],
)
COMMITTED = Counter("waiting_room_committed_records_total", "Records whose offsets were committed.", ["group"])
UNCOMMITTED = Gauge("waiting_room_uncommitted_records", "Records read and not committed yet.", ["group"])
DEAD_LETTERS = Counter("waiting_room_dead_letters_total", "Records put aside as unreadable or failing.", ["topic"])
