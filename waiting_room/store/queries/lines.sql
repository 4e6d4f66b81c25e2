-- waiting --
-- Every clinic with a line: how long its oldest undecided booking has waited, and whether it is taken to be down, which
-- counts for $1 seconds after it was last said. Two looks at an index a clinic: who had waited for a seat is before others
-- by their ticket, and waits for a decision only since they accepted one.
SELECT
    n.clinic_id,
    n.line,
    extract(EPOCH FROM now() - a.asked_at)::double precision AS oldest_seconds,
    coalesce(o.seen_at >= now() - make_interval(secs => $1), FALSE) AS down
FROM clinic_counters AS n
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT min(f.asked_at) AS asked_at
        FROM (
            (
                SELECT coalesce(p.offer_accepted_at, p.accepted_at) AS asked_at
                FROM appointments AS p
                WHERE p.clinic_id = n.clinic_id AND p.status = 'pending'
                ORDER BY p.ticket
                LIMIT 1
            )
            UNION ALL
            (
                SELECT p.accepted_at AS asked_at
                FROM appointments AS p
                WHERE p.clinic_id = n.clinic_id AND p.status = 'pending' AND p.offer_accepted_at IS NULL
                ORDER BY p.ticket
                LIMIT 1
            )
        ) AS f
    ) AS a
LEFT JOIN clinic_outages AS o ON n.clinic_id = o.clinic_id
WHERE n.line > 0 AND a.asked_at IS NOT NULL;
