"""What the demo measured, from the clients' ledger, the database, the clinics' and the receiver's own records."""

from __future__ import annotations

from typing import Any

import aiohttp
import asyncpg
import msgspec

from devstack.demo.callers import Callers
from devstack.demo.watch import look
from loadtest.measure import SendResult

_OUTCOMES = """
SELECT
    n.ref AS asked,
    a.status,
    EXTRACT(EPOCH FROM a.decided_at - a.accepted_at)::float AS seconds
FROM unnest($1::text []) AS n (ref)
LEFT JOIN booking_refs AS b ON n.ref = b.ref
LEFT JOIN appointments AS a ON coalesce(b.booking_ref, n.ref) = a.booking_ref
"""
_DOUBLED = """
SELECT count(*)
FROM seat_claims AS a
INNER JOIN seat_claims AS b
    ON
        a.day = b.day AND a.clinic_id = b.clinic_id AND a.provider_id = b.provider_id AND a.seat = b.seat
        AND a.during && b.during
WHERE a.booking_ref < b.booking_ref
"""
_EXPECTED_WEBHOOKS = """
SELECT count(*)
FROM appointment_events AS e
INNER JOIN webhook_endpoints AS w ON w.owner_kind = 'clinic' AND w.owner_id = e.clinic_id AND e.event = ANY(w.events)
"""


async def collect(
    connection: asyncpg.Connection[asyncpg.Record], callers: Callers, sent: SendResult, description: dict[str, Any]
) -> dict[str, Any]:
    """Everything but the audit's verdict."""
    outcomes = await connection.fetch(_OUTCOMES, sorted(callers.acknowledged))
    waited = sorted(row["seconds"] for row in outcomes if row["seconds"] is not None)
    statuses = [row["status"] for row in outcomes]
    async with aiohttp.ClientSession() as session:
        records = await _json_lines(session, f"{description['clinics_url']}/_sim/records")
        received = await _json_lines(session, f"{description['receiver_url']}/_sim/received")
        messages = await _json_lines(session, f"{description['gateways_url']}/_sim/sent")
    accept = sent.accepted_latency_ms
    snapshot = await look(connection)
    return {
        "posted": sent.requests,
        "accepted": len(callers.acknowledged),
        "refused": sum(count for status, count in sent.statuses.items() if status >= 400),
        "unanswered": sum(sent.errors.values()),
        "confirmed": statuses.count("confirmed"),
        "rejected": statuses.count("rejected"),
        "cancelled": statuses.count("cancelled"),
        "waiting": statuses.count("pending"),
        "lost": statuses.count(None),
        "doubled": await connection.fetchval(_DOUBLED),
        "duplicate_clinic_bookings": sum(1 for record in records if record["times_accepted"] > 1),
        "webhooks_expected": await connection.fetchval(_EXPECTED_WEBHOOKS),
        "webhooks_verified": len({each["webhook_id"] for each in received}),
        "patients_to_tell": snapshot.to_tell,
        "patients_told": snapshot.told,
        "messages_doubled": len(messages) - len({each["key"] for each in messages}),
        "accept_p50_ms": accept.p50 if accept else None,
        "accept_p99_ms": accept.p99 if accept else None,
        "decide_p50_s": _percentile(waited, 0.5),
        "decide_p99_s": _percentile(waited, 0.99),
    }


def promises_kept(figures: dict[str, Any]) -> dict[str, bool]:
    """The spine's promises, each true or false."""
    return {
        "nothing lost": figures["lost"] == 0,
        "nothing doubled": figures["doubled"] == 0,
        "no clinic booked twice": figures["duplicate_clinic_bookings"] == 0,
        "everyone was accepted": figures["refused"] == 0 and figures["unanswered"] == 0,
        "everything was decided": figures["waiting"] == 0,
        "accepted within 200 ms (p99)": (figures["accept_p99_ms"] or float("inf")) < 200,
        "every webhook arrived and verified": figures["webhooks_verified"] == figures["webhooks_expected"] > 0,
        "every patient was told once": figures["patients_told"] == figures["patients_to_tell"] > 0
        and figures["messages_doubled"] == 0,
        "the audit is clean": bool(figures["audit_ok"]),
    }


def _percentile(ascending: list[float], share: float) -> float | None:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)] if ascending else None


async def _json_lines(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with session.get(url) as answer:
        answer.raise_for_status()
        text = await answer.text()
    return [_decode(line) for line in text.splitlines() if line]


def _decode(line: str) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(line)
    return decoded
