-- lock_directory --
-- One writer of the directory at a time, so that partitions are counted right and no older record is published after
-- a newer one. Readers, bookings and their foreign keys are not held up.
LOCK TABLE clinics IN SHARE ROW EXCLUSIVE MODE;

-- partitions --
SELECT
    clinic_id,
    partition
FROM clinics;

-- wrong_owners --
-- What is in the file under one owner and in the database under another.
SELECT
    'provider' AS kind,
    p.provider_id AS id,
    p.clinic_id AS owner_id
FROM jsonb_to_recordset($1) AS n (provider_id text, clinic_id text)
INNER JOIN providers AS p ON n.provider_id = p.provider_id AND n.clinic_id <> p.clinic_id
UNION ALL
SELECT
    'clinic' AS kind,
    c.clinic_id AS id,
    c.business_id AS owner_id
FROM jsonb_to_recordset($2) AS n (clinic_id text, business_id text)
INNER JOIN clinics AS c ON n.clinic_id = c.clinic_id AND n.business_id <> c.business_id
UNION ALL
SELECT
    'endpoint' AS kind,
    e.endpoint_id AS id,
    e.owner_id
FROM jsonb_to_recordset($3) AS n (endpoint_id text, owner_kind text, owner_id text)
INNER JOIN webhook_endpoints AS e
    ON n.endpoint_id = e.endpoint_id AND (n.owner_kind, n.owner_id) <> (e.owner_kind, e.owner_id);

-- upsert_businesses --
INSERT INTO businesses AS b (business_id, name, cancel_notice_minutes)
SELECT
    n.business_id,
    n.name,
    n.cancel_notice_minutes
FROM jsonb_to_recordset($1) AS n (business_id text, name text, cancel_notice_minutes integer)
ON CONFLICT (business_id) DO UPDATE
    SET name = excluded.name, cancel_notice_minutes = excluded.cancel_notice_minutes
    WHERE (b.name, b.cancel_notice_minutes) <> (excluded.name, excluded.cancel_notice_minutes)
RETURNING business_id;

-- upsert_products --
INSERT INTO products AS p (business_id, product, name)
SELECT
    n.business_id,
    n.product,
    n.name
FROM jsonb_to_recordset($1) AS n (business_id text, product text, name text)
ON CONFLICT (business_id, product) DO UPDATE
    SET name = excluded.name
    WHERE p.name <> excluded.name;

-- upsert_service_types --
-- Returns the businesses whose clinics now offer something else.
INSERT INTO service_types AS s (
    business_id, service_type, duration_minutes, buffer_minutes, description, consumes, cancel_notice_minutes,
    one_active, interval_days, interval_after, offer_minutes, offer_to_all, eligibility
)
SELECT
    n.business_id,
    n.service_type,
    n.duration_minutes,
    n.buffer_minutes,
    n.description,
    n.consumes,
    n.cancel_notice_minutes,
    n.one_active,
    n.interval_days,
    n.interval_after,
    n.offer_minutes,
    n.offer_to_all,
    n.eligibility
FROM
    jsonb_to_recordset($1)
        AS n (
            business_id text, service_type text, duration_minutes integer, buffer_minutes integer, description text,
            consumes jsonb, cancel_notice_minutes integer, one_active boolean, interval_days integer,
            interval_after text, offer_minutes integer, offer_to_all boolean, eligibility text
        )
ON CONFLICT (business_id, service_type) DO UPDATE
    SET
        duration_minutes = excluded.duration_minutes, buffer_minutes = excluded.buffer_minutes,
        description = excluded.description, consumes = excluded.consumes,
        cancel_notice_minutes = excluded.cancel_notice_minutes, one_active = excluded.one_active,
        interval_days = excluded.interval_days, interval_after = excluded.interval_after,
        offer_minutes = excluded.offer_minutes, offer_to_all = excluded.offer_to_all,
        eligibility = excluded.eligibility
    WHERE
    (
        s.duration_minutes, s.buffer_minutes, s.description, s.consumes, s.cancel_notice_minutes, s.one_active,
        s.interval_days, s.interval_after, s.offer_minutes, s.offer_to_all, s.eligibility
    ) IS DISTINCT FROM (
        excluded.duration_minutes, excluded.buffer_minutes, excluded.description, excluded.consumes,
        excluded.cancel_notice_minutes, excluded.one_active, excluded.interval_days, excluded.interval_after,
        excluded.offer_minutes, excluded.offer_to_all, excluded.eligibility
    )
RETURNING business_id;

-- upsert_reminders --
INSERT INTO reminder_leads AS l (business_id, service_type, leads)
SELECT
    n.business_id,
    n.service_type,
    n.reminders
FROM jsonb_to_recordset($1) AS n (business_id text, service_type text, reminders text[])
ON CONFLICT (business_id, service_type) DO UPDATE
    SET leads = excluded.leads
    WHERE l.leads <> excluded.leads;

-- replace_days_off --
-- Of the businesses $2, those that $1 says and no others. Returns the businesses whose days have changed.
WITH wanted AS (
    SELECT
        n.business_id,
        n.day,
        n.name
    FROM jsonb_to_recordset($1) AS n (business_id text, day date, name text)
),

gone AS (
    DELETE FROM business_days_off AS d
    WHERE
        d.business_id = any($2::text[])
        AND NOT EXISTS (
            SELECT FROM wanted AS w
            WHERE w.business_id = d.business_id AND w.day = d.day
        )
    RETURNING d.business_id
),

come AS (
    INSERT INTO business_days_off AS d (business_id, day, name)
    SELECT
        w.business_id,
        w.day,
        w.name
    FROM wanted AS w
    ON CONFLICT (business_id, day) DO UPDATE
        SET name = excluded.name
        WHERE d.name <> excluded.name
    RETURNING business_id
)

SELECT business_id FROM gone
UNION
SELECT business_id FROM come;

-- upsert_clinics --
INSERT INTO clinics AS c (
    clinic_id, business_id, name, status, timezone, adapter, endpoint, declared_concurrency, settle_seconds,
    honours_idempotency, has_lookup, reports_changes, wait_ceiling_seconds, no_show_after_minutes, partition
)
SELECT
    n.clinic_id,
    n.business_id,
    n.name,
    n.status,
    n.timezone,
    n.adapter,
    n.endpoint,
    n.declared_concurrency,
    n.settle_seconds,
    n.honours_idempotency,
    n.has_lookup,
    n.reports_changes,
    n.wait_ceiling_seconds,
    n.no_show_after_minutes,
    n.partition
FROM
    jsonb_to_recordset($1)
        AS n (
            clinic_id text, business_id text, name text, status text, timezone text, adapter text, endpoint text,
            declared_concurrency integer, settle_seconds double precision, honours_idempotency boolean, has_lookup boolean,
            reports_changes boolean, wait_ceiling_seconds integer, no_show_after_minutes integer, partition integer
        )
ON CONFLICT (clinic_id) DO UPDATE
    SET
        name = excluded.name, status = excluded.status, timezone = excluded.timezone, adapter = excluded.adapter,
        endpoint = excluded.endpoint, declared_concurrency = excluded.declared_concurrency,
        settle_seconds = excluded.settle_seconds, honours_idempotency = excluded.honours_idempotency,
        has_lookup = excluded.has_lookup, reports_changes = excluded.reports_changes,
        wait_ceiling_seconds = excluded.wait_ceiling_seconds, no_show_after_minutes = excluded.no_show_after_minutes
    WHERE
    (
        c.name, c.status, c.timezone, c.adapter, c.endpoint, c.declared_concurrency, c.settle_seconds,
        c.honours_idempotency, c.has_lookup, c.reports_changes, c.wait_ceiling_seconds, c.no_show_after_minutes
    ) IS DISTINCT FROM (
        excluded.name, excluded.status, excluded.timezone, excluded.adapter, excluded.endpoint,
        excluded.declared_concurrency, excluded.settle_seconds, excluded.honours_idempotency, excluded.has_lookup,
        excluded.reports_changes, excluded.wait_ceiling_seconds, excluded.no_show_after_minutes
    )
RETURNING clinic_id;

-- upsert_providers --
INSERT INTO providers AS p (provider_id, clinic_id, name, capacity, service_types, hours)
SELECT
    n.provider_id,
    n.clinic_id,
    n.name,
    n.capacity,
    n.service_types,
    n.hours
FROM
    jsonb_to_recordset($1)
        AS n (
            provider_id text, clinic_id text, name text, capacity integer, service_types text[], hours jsonb
        )
ON CONFLICT (provider_id) DO UPDATE
    SET
        name = excluded.name, capacity = excluded.capacity, service_types = excluded.service_types,
        hours = excluded.hours
    WHERE
    (p.name, p.capacity, p.service_types, p.hours)
    <> (excluded.name, excluded.capacity, excluded.service_types, excluded.hours)
RETURNING clinic_id;

-- upsert_apps --
INSERT INTO apps AS a (app_id, name)
SELECT
    n.app_id,
    n.name
FROM jsonb_to_recordset($1) AS n (app_id text, name text)
ON CONFLICT (app_id) DO UPDATE
    SET name = excluded.name
    WHERE a.name <> excluded.name
RETURNING app_id;

-- upsert_endpoints --
-- One that is switched on again is told of events from now on. Secrets are kept apart.
INSERT INTO webhook_endpoints AS e (
    endpoint_id, owner_kind, owner_id, url, events, payload, active, disabled_at, disabled_reason
)
SELECT
    n.endpoint_id,
    n.owner_kind,
    n.owner_id,
    n.url,
    n.events,
    n.payload,
    n.active,
    CASE WHEN NOT n.active THEN now() END AS disabled_at,
    CASE WHEN NOT n.active THEN 'operator' END AS disabled_reason
FROM
    jsonb_to_recordset($1)
        AS n (endpoint_id text, owner_kind text, owner_id text, url text, events text[], payload text, active boolean)
ON CONFLICT (endpoint_id) DO UPDATE
    SET
        url = excluded.url, events = excluded.events, payload = excluded.payload, active = excluded.active,
        disabled_at = CASE WHEN NOT excluded.active THEN coalesce(e.disabled_at, now()) END,
        disabled_reason = CASE WHEN NOT excluded.active THEN coalesce(e.disabled_reason, 'operator') END,
        failing_since = CASE WHEN e.active THEN e.failing_since END,
        told_from = CASE WHEN e.active THEN e.told_from ELSE now() END,
        verified_at = coalesce(e.verified_at, now())
    WHERE
    (e.url, e.events, e.payload, e.active)
    <> (excluded.url, excluded.events, excluded.payload, excluded.active)
RETURNING endpoint_id;

-- clinics_of_businesses --
SELECT clinic_id
FROM clinics
WHERE business_id = any($1::text[]);

-- unknown_services --
SELECT
    p.provider_id,
    offered.service_type
FROM providers AS p
INNER JOIN clinics AS c ON p.clinic_id = c.clinic_id
CROSS JOIN unnest(p.service_types) AS offered (service_type)
LEFT JOIN service_types AS s ON c.business_id = s.business_id AND offered.service_type = s.service_type
WHERE p.clinic_id = any($1::text[]) AND s.service_type IS NULL
ORDER BY p.provider_id, offered.service_type;

-- unknown_products --
SELECT DISTINCT
    s.service_type,
    consumed.product
FROM clinics AS c
INNER JOIN service_types AS s ON c.business_id = s.business_id
CROSS JOIN jsonb_to_recordset(s.consumes) AS consumed (product text)
LEFT JOIN products AS p ON s.business_id = p.business_id AND consumed.product = p.product
WHERE c.clinic_id = any($1::text[]) AND p.product IS NULL
ORDER BY s.service_type, consumed.product;

-- add_missing_counters --
INSERT INTO clinic_counters (clinic_id)
SELECT clinic_id
FROM clinics
ON CONFLICT DO NOTHING
RETURNING clinic_id;

-- add_missing_cursors --
INSERT INTO relay_cursors (clinic_id)
SELECT clinic_id
FROM clinics
ON CONFLICT DO NOTHING;

-- bump_rules --
-- Locks in ascending id as every writer of bookings does. A hold that had the lock before has booked under the old
-- rules, one that gets it after our commit reads the new ones.
WITH locked AS MATERIALIZED (
    SELECT clinic_id
    FROM clinic_counters
    WHERE clinic_id = any($1::text[])
    ORDER BY clinic_id
    FOR NO KEY UPDATE
)

UPDATE clinic_counters AS c
SET rules_version = c.rules_version + 1
FROM locked
WHERE c.clinic_id = locked.clinic_id;

-- claims_beyond_capacity --
-- With the counter rows locked: seats that are claimed from now on and that the provider no longer has, but for those
-- that its clinic itself took away.
SELECT
    p.provider_id,
    p.capacity,
    max(s.seat) + 1 AS seats_claimed
FROM providers AS p
INNER JOIN seat_claims AS s
    ON
        p.clinic_id = s.clinic_id AND p.provider_id = s.provider_id
        AND greatest(p.capacity, p.capacity_before) <= s.seat
WHERE
    p.clinic_id = any($1::text[]) AND upper(s.during) > clock_timestamp()
    AND s.day >= (now() AT TIME ZONE 'UTC')::date
GROUP BY p.provider_id, p.capacity
ORDER BY p.provider_id;

-- load_clinics --
-- Each as a clinic's JSON; null asks for all.
SELECT
    to_jsonb(c)
    || jsonb_build_object(
        'service_types',
        coalesce((
            SELECT jsonb_agg(to_jsonb(s) - 'business_id' ORDER BY s.service_type)
            FROM service_types AS s
            WHERE s.business_id = c.business_id
        ), '[]'),
        'providers',
        coalesce((
            SELECT jsonb_agg(p.provider ORDER BY p.provider_id)
            FROM provider_records AS p
            WHERE p.clinic_id = c.clinic_id
        ), '[]'),
        'cancel_notice_minutes',
        (
            SELECT b.cancel_notice_minutes
            FROM businesses AS b
            WHERE b.business_id = c.business_id
        ),
        'moved_from',
        (
            SELECT m.from_partition
            FROM clinic_moves AS m
            WHERE m.clinic_id = c.clinic_id
            ORDER BY m.map_version DESC
            LIMIT 1
        )
    ) AS clinic
FROM clinics AS c
WHERE $1::text[] IS NULL OR c.clinic_id = any($1::text[])
ORDER BY c.clinic_id;
