-- clinic --
SELECT partition
FROM clinics
WHERE clinic_id = $1;

-- unfinished --
SELECT
    clinic_id,
    map_version,
    from_partition,
    to_partition
FROM clinic_moves
WHERE clinic_id = $1 AND marker_read_at IS NULL;

-- begin --
-- With the directory locked. What the clinic was is read from the snapshot, not from what is being written.
WITH moved AS (
    UPDATE clinics
    SET partition = $2, map_version = map_version + 1
    WHERE clinic_id = $1
    RETURNING clinic_id, map_version, partition
)

INSERT INTO clinic_moves (clinic_id, map_version, from_partition, to_partition)
SELECT
    m.clinic_id,
    m.map_version,
    c.partition AS from_partition,
    m.partition AS to_partition
FROM moved AS m
INNER JOIN clinics AS c ON m.clinic_id = c.clinic_id
RETURNING clinic_id, map_version, from_partition, to_partition;

-- is_announced --
-- Relay deletes what Kafka has acknowledged.
SELECT NOT EXISTS (
    SELECT o.seq
    FROM directory_outbox AS o
    WHERE o.topic = $1 AND o.key = $2
);

-- marker_written --
UPDATE clinic_moves
SET marker_written_at = clock_timestamp()
WHERE clinic_id = $1 AND map_version = $2 AND marker_written_at IS NULL;

-- seconds_taken --
SELECT extract(EPOCH FROM marker_read_at - started_at)::double precision AS seconds
FROM clinic_moves
WHERE clinic_id = $1 AND map_version = $2;

-- marker_read --
-- With the clinics' counter rows locked. Whoever holds commands of theirs back loads their rules anew and finds that
-- it need not. Of a marker that was read before, or of no move we know: nothing.
WITH read AS (
    UPDATE clinic_moves AS m
    SET marker_read_at = clock_timestamp()
    FROM unnest($1::text[], $2::integer[]) AS n (clinic_id, map_version)
    WHERE m.clinic_id = n.clinic_id AND m.map_version = n.map_version AND m.marker_read_at IS NULL
    RETURNING m.clinic_id
)

UPDATE clinic_counters AS c
SET rules_version = c.rules_version + 1
FROM read AS r
WHERE c.clinic_id = r.clinic_id
RETURNING c.clinic_id;

-- since --
SELECT
    move_id,
    clinic_id
FROM clinic_moves
WHERE move_id > $1
ORDER BY move_id;

-- newest --
SELECT coalesce(max(move_id), 0)
FROM clinic_moves;
