-- put --
-- Another address is read from the beginning, at once. What was read of the one before stands until then.
INSERT INTO busy_feeds (provider_id, clinic_id, sealed, host)
VALUES ($1, $2, $3, $4)
ON CONFLICT (provider_id) DO UPDATE
    SET
        sealed = excluded.sealed, host = excluded.host, turn = busy_feeds.turn + 1, put_at = excluded.put_at,
        next_at = excluded.next_at, read_at = NULL, whole_at = NULL, etag = NULL, last_modified = NULL, digest = NULL,
        failures = 0, error = NULL, failed_at = NULL;

-- find --
SELECT
    host,
    put_at,
    read_at,
    next_at,
    failures,
    error,
    failed_at
FROM busy_feeds
WHERE provider_id = $1;

-- delete --
DELETE FROM busy_feeds
WHERE provider_id = $1
RETURNING provider_id;

-- claim --
-- Up to $1 that are due; nobody else reads them for $2 seconds. What tells that one has not changed counts for $3 seconds
-- since it was read as a whole.
WITH due AS (
    SELECT f.provider_id
    FROM busy_feeds AS f
    WHERE f.next_at <= now()
    ORDER BY f.next_at, f.provider_id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)

UPDATE busy_feeds AS f
SET next_at = now() + make_interval(secs => $2), turn = f.turn + 1
FROM due AS d, clinics AS c
WHERE f.provider_id = d.provider_id AND f.clinic_id = c.clinic_id
RETURNING
    f.clinic_id, f.provider_id, c.timezone, f.sealed, f.host, f.turn, f.failures,
    f.whole_at IS NOT NULL AND f.whole_at > now() - make_interval(secs => $3) AS is_fresh,
    f.etag, f.last_modified, f.digest;

-- unchanged --
UPDATE busy_feeds
SET read_at = now(), failures = 0, error = NULL, next_at = now() + make_interval(secs => $3)
WHERE provider_id = $1 AND turn = $2;

-- read --
-- As a whole. Not by whom another reader, or another address, has come before.
UPDATE busy_feeds
SET
    read_at = now(), whole_at = now(), failures = 0, error = NULL, next_at = now() + make_interval(secs => $3),
    etag = $4, last_modified = $5, digest = $6
WHERE provider_id = $1 AND turn = $2
RETURNING provider_id;

-- failed --
UPDATE busy_feeds
SET failures = failures + 1, error = $4, failed_at = now(), next_at = now() + make_interval(secs => $3)
WHERE provider_id = $1 AND turn = $2;

-- all --
SELECT
    provider_id,
    sealed
FROM busy_feeds;

-- reseal --
UPDATE busy_feeds
SET sealed = $2
WHERE provider_id = $1 AND sealed = $3;
