-- news --
-- Clinics with events that are not published yet. Polled up to 40 times a second, so it reads two small tables only
-- and looks up partitions for what it found: those they began in, so that their events stay in one order wherever
-- their commands go.
SELECT
    n.clinic_id,
    n.published_seq,
    n.last_seq,
    coalesce((
        SELECT m.from_partition
        FROM clinic_moves AS m
        WHERE m.clinic_id = n.clinic_id
        ORDER BY m.map_version
        LIMIT 1
    ), c.partition) AS partition
FROM (
    SELECT
        l.clinic_id,
        l.last_seq,
        coalesce(r.published_seq, 0) AS published_seq
    FROM clinic_counters AS l
    LEFT JOIN relay_cursors AS r ON l.clinic_id = r.clinic_id
    WHERE l.last_seq > coalesce(r.published_seq, 0)
) AS n
INNER JOIN clinics AS c ON n.clinic_id = c.clinic_id
ORDER BY n.clinic_id;

-- events --
-- A clinic at a time by the primary key, whatever the planner believes of the table's size.
SELECT
    n.clinic_id,
    e.seq,
    e.record,
    e.event,
    extract(EPOCH FROM clock_timestamp() - e.at)::double precision AS age_seconds
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (clinic_id, after_seq, wanted)
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT
            a.seq,
            a.record,
            a.event,
            a.at
        FROM appointment_events AS a
        WHERE a.clinic_id = n.clinic_id AND a.seq > n.after_seq
        ORDER BY a.seq
        LIMIT n.wanted
    ) AS e
ORDER BY n.clinic_id, e.seq;

-- advance --
-- Never back: a relay that was frozen and comes back late changes nothing.
INSERT INTO relay_cursors AS r (clinic_id, published_seq)
SELECT
    n.clinic_id,
    n.published_seq
FROM unnest($1::text[], $2::bigint[]) AS n (clinic_id, published_seq)
ORDER BY n.clinic_id
ON CONFLICT (clinic_id) DO UPDATE
    SET published_seq = excluded.published_seq
    WHERE r.published_seq < excluded.published_seq;

-- directory_rows --
SELECT
    seq,
    topic,
    key,
    record
FROM directory_outbox
ORDER BY seq
LIMIT $1;

-- delete_directory_rows --
DELETE FROM directory_outbox
WHERE seq = any($1::bigint[]);

-- try_to_lead --
-- Held by the session until it ends. One key for every relay of this database.
SELECT pg_try_advisory_lock(hashtext('waiting_room relay'));

-- still_there --
SELECT TRUE;
