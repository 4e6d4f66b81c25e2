"""Delivery: from a committed event to whoever is told of it."""

from __future__ import annotations

from dashboards.board import Board, Panel, Query, Row, rate_by

BOARD = Board(
    uid="waiting-room-delivery",
    title="Delivery",
    says="From a committed event to whoever is told of it.",
    rows=(
        Row(
            "Relay",
            (
                Panel(
                    title="Outbox delay",
                    says="Event committed until published.",
                    unit="s",
                    queries=(Query("waiting_room:outbox_delay_seconds:p99_rate5m", "p99"),),
                    promise=1,
                    alert="OutboxLate",
                ),
                Panel(
                    title="Oldest unpublished event",
                    says="Grows while Kafka takes nothing.",
                    unit="s",
                    queries=(Query("max(waiting_room_outbox_oldest_seconds)", "age"),),
                    promise=30,
                    alert="OutboxLate",
                ),
                Panel(
                    title="Events published",
                    says="Every change of every booking is one; by what happened, the waitlist's offers and moves too.",
                    unit="reqps",
                    queries=(rate_by("kind", "waiting_room_published_total"),),
                    kind="stack",
                ),
            ),
        ),
        Row(
            "Webhooks",
            (
                Panel(
                    title="Webhook delay",
                    width=6,
                    says="Event committed until its webhook is answered 2xx, retries included.",
                    unit="s",
                    queries=(
                        Query("waiting_room:webhook_delay_seconds:p50_rate5m", "p50"),
                        Query("waiting_room:webhook_delay_seconds:p99_rate5m", "p99"),
                    ),
                    promise=60,
                    alert="WebhooksLate",
                ),
                Panel(
                    title="Attempts",
                    width=6,
                    says="By outcome: delivered, to be tried again, given up.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_webhook_attempts_total"),),
                    kind="stack",
                    alert="WebhooksLate",
                ),
                Panel(
                    title="Under way",
                    width=6,
                    says="Deliveries that wait for their endpoint's answer.",
                    unit="short",
                    queries=(Query("sum(waiting_room_webhooks_in_flight)", "deliveries"),),
                ),
                Panel(
                    title="Endpoints",
                    width=6,
                    says="Taken to be down now; and switched off for good in the last day, by why.",
                    unit="short",
                    queries=(
                        Query("max(waiting_room_webhook_endpoints_down)", "down"),
                        Query(
                            "sum by (reason) (increase(waiting_room_webhook_endpoints_disabled_total[1d]))",
                            "off, {{reason}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Patients",
            (
                Panel(
                    width=8,
                    title="Reminder delay",
                    says="Reminder due until a gateway took it, retries and other channels included.",
                    unit="s",
                    queries=(Query("waiting_room:reminder_delay_seconds:p99_rate5m", "p99"),),
                    promise=60,
                    alert="RemindersLate",
                ),
                Panel(
                    width=8,
                    title="News delay",
                    says="The same of what is told at once: confirmed, rejected, cancelled, moved.",
                    unit="s",
                    queries=(Query("waiting_room:notification_delay_seconds:p99_rate5m", "p99"),),
                    alert="RemindersLate",
                ),
                Panel(
                    width=8,
                    title="Messages",
                    says="By outcome: sent, to be tried again, failed, dropped since no longer true.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_notifications_total"),),
                    kind="stack",
                    alert="NotificationsFail",
                ),
                Panel(
                    width=12,
                    title="In hand",
                    says="Due within ten minutes, and some worker's to send.",
                    unit="short",
                    queries=(Query("sum(waiting_room_notifications_in_hand)", "messages"),),
                ),
                Panel(
                    width=12,
                    title="Links opened",
                    says="By patients, from their messages: opened, or refused since the pass in it had ended, was "
                    "revoked or is none. Many refused are links that a message cut, or somebody who tries.",
                    unit="reqps",
                    queries=(rate_by("outcome", "waiting_room_passes_opened_total", "5m"),),
                    kind="stack",
                ),
            ),
        ),
    ),
)
