-- claim --
-- Up to $1 clinics whose systems are to be asked what has changed there; nobody else asks for $2 seconds.
WITH due AS (
    SELECT c.clinic_id
    FROM clinics AS c
    LEFT JOIN clinic_changes AS k ON c.clinic_id = k.clinic_id
    WHERE c.reports_changes AND c.adapter <> 'builtin' AND (k.next_at IS NULL OR k.next_at <= now())
    ORDER BY k.next_at NULLS FIRST, c.clinic_id
    LIMIT $1
)

INSERT INTO clinic_changes AS k (clinic_id, next_at)
SELECT
    d.clinic_id,
    now() + make_interval(secs => $2) AS next_at
FROM due AS d
ORDER BY d.clinic_id
ON CONFLICT (clinic_id) DO UPDATE
    SET next_at = excluded.next_at
    WHERE k.next_at <= now()
RETURNING k.clinic_id, k.mark;

-- cursor --
-- Under the clinic's lock: what was asked for after another cursor is not to be applied any more.
SELECT k.mark
FROM clinic_changes AS k
WHERE k.clinic_id = $1;

-- applied --
UPDATE clinic_changes
SET mark = $2, next_at = now() + make_interval(secs => $3), failures = 0, read_at = now()
WHERE clinic_id = $1;

-- failed --
-- Asked again ever more rarely, up to every $3 seconds; from the beginning where $4.
UPDATE clinic_changes
SET
    next_at = now() + make_interval(secs => least($2 * 2.0 ^ least(failures, 20), $3)),
    failures = failures + 1,
    mark = CASE WHEN NOT $4 THEN mark END
WHERE clinic_id = $1;

-- delete_busy --
-- Of what the clinic's system said: all of it ($3), or these.
DELETE FROM busy_times
WHERE clinic_id = $1 AND source = $2 AND ($3 OR busy_id = any($4::text[]));

-- put_busy --
-- At providers that we know; how many they are tells whether there were others.
INSERT INTO busy_times (clinic_id, provider_id, source, busy_id, during, seats)
SELECT
    p.clinic_id,
    p.provider_id,
    $2 AS source,
    n.busy_id,
    tstzrange(n.from_at, n.to_at) AS during,
    n.seats
FROM
    unnest($3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::integer[])
        AS n (provider_id, busy_id, from_at, to_at, seats)
INNER JOIN providers AS p ON n.provider_id = p.provider_id
WHERE p.clinic_id = $1;

-- renew_busy --
UPDATE clinic_counters
SET busy_version = busy_version + 1
WHERE clinic_id = $1;
