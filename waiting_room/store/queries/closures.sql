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
