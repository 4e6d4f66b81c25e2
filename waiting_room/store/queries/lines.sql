-- waiting --
-- Every clinic with a line: how long its oldest undecided booking has waited, and whether it is taken to be down, which
-- counts for $1 seconds after it was last said. One look at an index a clinic.
SELECT
    n.clinic_id,
    n.line,
    extract(EPOCH FROM now() - a.accepted_at)::double precision AS oldest_seconds,
    coalesce(o.seen_at >= now() - make_interval(secs => $1), FALSE) AS down
FROM clinic_counters AS n
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT p.accepted_at
        FROM appointments AS p
        WHERE p.clinic_id = n.clinic_id AND p.status = 'pending'
        ORDER BY p.ticket
        LIMIT 1
    ) AS a
LEFT JOIN clinic_outages AS o ON n.clinic_id = o.clinic_id
WHERE n.line > 0;
