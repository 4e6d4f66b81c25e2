-- told --
-- What was told of a closure.
SELECT payload
FROM clinic_closures
WHERE clinic_id = $1 AND closure_id = $2;

-- next --
-- The number this closure will have within its clinic, and whether it is there already. Under the clinic's lock.
SELECT
    coalesce(max(sequence), 0) + 1 AS sequence,
    coalesce(bool_or(closure_id = $2), FALSE) AS known
FROM clinic_closures
WHERE clinic_id = $1;

-- add --
INSERT INTO clinic_closures (clinic_id, closure_id, sequence, at, payload)
VALUES ($1, $2, $3, $4, $5::jsonb)
RETURNING number;

-- tell --
-- A delivery to each active endpoint that asks for it: of the clinic, and of every app.
INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, event, payload, committed_at)
SELECT
    e.endpoint_id,
    'closure' AS clinic_id,
    c.number AS seq,
    'clinic.closed' AS event,
    c.payload,
    c.at AS committed_at
FROM clinic_closures AS c
INNER JOIN webhook_endpoints AS e ON e.owner_kind = 'app' OR c.clinic_id = e.owner_id
WHERE c.number = $1 AND e.active AND 'clinic.closed' = any(e.events) AND e.told_from <= c.at
ORDER BY e.endpoint_id;

-- still_booked --
-- Closures that stand, with somebody booked then who is not being moved, $1 seconds after hold was asked to: ingress died
-- before it asked, or who was to be moved by a wish of their own stayed. Noted as asked for, by provider.
WITH left_over AS (
    SELECT
        k.number,
        k.clinic_id,
        k.closure_id,
        o.provider_id,
        lower(o.during) AS from_at,
        upper(o.during) AS to_at
    FROM availability_overrides AS o
    INNER JOIN providers AS p ON o.provider_id = p.provider_id
    INNER JOIN clinic_closures AS k ON p.clinic_id = k.clinic_id AND o.override_id = 'closure-' || k.closure_id
    WHERE
        o.kind = 'block' AND upper(o.during) > now()
        AND coalesce(k.asked_at, k.at) < now() - make_interval(secs => $1)
        AND EXISTS (
            SELECT a.booking_ref
            FROM appointments AS a
            WHERE
                a.clinic_id = k.clinic_id AND a.provider_id = o.provider_id AND a.status IN ('pending', 'confirmed')
                AND a.moving_to IS NULL AND a.start_at < upper(o.during) AND a.start_at > now() AND a.end_at > lower(o.during)
        )
),

asked AS (
    UPDATE clinic_closures AS k
    SET asked_at = now()
    FROM (
        SELECT DISTINCT number
        FROM left_over
    ) AS n
    WHERE k.number = n.number AND coalesce(k.asked_at, k.at) < now() - make_interval(secs => $1)
    RETURNING k.number
)

SELECT
    n.clinic_id,
    n.closure_id,
    n.provider_id,
    n.from_at,
    n.to_at,
    c.partition
FROM asked AS k
INNER JOIN left_over AS n ON k.number = n.number
INNER JOIN clinics AS c ON n.clinic_id = c.clinic_id
ORDER BY n.clinic_id, n.closure_id, n.provider_id;
