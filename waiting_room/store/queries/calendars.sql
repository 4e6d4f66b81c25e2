-- lock_directory --
-- Against an import or a republishing of the whole directory, not against each other.
LOCK TABLE clinics IN ROW EXCLUSIVE MODE;

-- lock_clinic --
-- As every writer of its bookings does: none is made under rules that are just being replaced.
SELECT clock_timestamp() AS now
FROM clinic_counters
WHERE clinic_id = $1
FOR NO KEY UPDATE;

-- now --
SELECT clock_timestamp() AS now;

-- provider --
SELECT provider
FROM provider_records
WHERE clinic_id = $1 AND provider_id = $2;

-- put_availability --
UPDATE providers
SET
    availability = $2, availability_version = availability_version + 1, capacity = coalesce($3, capacity),
    capacity_before = greatest(capacity_before, CASE WHEN $3 < capacity THEN capacity END)
WHERE provider_id = $1;

-- overrides --
-- Those not over by $2.
SELECT
    override_id,
    kind,
    slot_minutes,
    lower(during) AS from_at,
    upper(during) AS to_at
FROM availability_overrides
WHERE provider_id = $1 AND upper(during) > $2
ORDER BY lower(during), override_id;

-- put_override --
INSERT INTO availability_overrides (provider_id, override_id, kind, during, slot_minutes)
VALUES ($1, $2, $3, tstzrange($4, $5), $6)
ON CONFLICT (provider_id, override_id) DO UPDATE
    SET kind = excluded.kind, during = excluded.during, slot_minutes = excluded.slot_minutes;

-- delete_override --
DELETE FROM availability_overrides
WHERE provider_id = $1 AND override_id = $2
RETURNING override_id;

-- busy --
-- Those not over by $2.
SELECT
    source,
    busy_id,
    seats,
    lower(during) AS from_at,
    upper(during) AS to_at
FROM busy_times
WHERE provider_id = $1 AND upper(during) > $2
ORDER BY lower(during), source, busy_id;

-- delete_busy_of_source --
DELETE FROM busy_times
WHERE provider_id = $1 AND source = $2;

-- put_busy --
INSERT INTO busy_times (clinic_id, provider_id, source, busy_id, during, seats)
SELECT
    $1 AS clinic_id,
    $2 AS provider_id,
    n.source,
    n.busy_id,
    tstzrange(n.from_at, n.to_at) AS during,
    n.seats
FROM
    unnest($3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::integer[])
        AS n (source, busy_id, from_at, to_at, seats)
ON CONFLICT (provider_id, source, busy_id) DO UPDATE
    SET during = excluded.during, seats = excluded.seats;

-- delete_busy --
DELETE FROM busy_times
WHERE provider_id = $1 AND source = $2 AND busy_id = $3
RETURNING busy_id;

-- renew_busy --
UPDATE clinic_counters
SET busy_version = busy_version + 1
WHERE clinic_id = $1;

-- booked --
-- A provider's bookings that are not over by $3 and want their seats.
SELECT
    booking_ref,
    status,
    service_type,
    start_at,
    end_at,
    seat
FROM appointments
WHERE
    clinic_id = $1 AND provider_id = $2 AND start_at > $3::timestamptz - interval '1 day' AND end_at > $3::timestamptz
    AND status IN ('pending', 'confirmed') AND seat IS NOT NULL
ORDER BY start_at, seat;

-- new_feed --
INSERT INTO calendar_feeds (token_hash, provider_id)
VALUES ($1, $2)
ON CONFLICT (provider_id) DO UPDATE
    SET token_hash = excluded.token_hash, created_at = excluded.created_at;

-- delete_feed --
DELETE FROM calendar_feeds
WHERE provider_id = $1
RETURNING provider_id;

-- provider_of_feed --
SELECT provider_id
FROM calendar_feeds
WHERE token_hash = $1;

-- feed --
-- What a calendar program is shown: from a week ago on, what was booked and not given up, and seats that are offered: each
-- once, however many were invited to it.
SELECT
    a.booking_ref,
    a.status,
    a.service_type,
    a.start_at,
    a.end_at,
    a.revision,
    coalesce(a.decided_at, a.held_at, a.accepted_at) AS changed_at
FROM appointments AS a
WHERE
    a.clinic_id = $1 AND a.provider_id = $2 AND a.start_at > now() - interval '7 days'
    AND a.status NOT IN ('rejected', 'cancelled') AND a.end_at IS NOT NULL AND a.stage IS DISTINCT FROM 'invited'
ORDER BY a.start_at, a.booking_ref
LIMIT 5000;
