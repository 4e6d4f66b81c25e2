-- now --
SELECT clock_timestamp();

-- clinics --
-- Also those that have bookings and should not: nothing in the schema ties the two together.
SELECT
    k.clinic_id,
    c.adapter,
    c.partition,
    n.last_ticket,
    n.last_seq,
    n.line,
    n.waiting,
    r.published_seq
FROM (
    SELECT clinic_id FROM clinics
    UNION
    SELECT clinic_id FROM appointments
) AS k
LEFT JOIN clinics AS c ON k.clinic_id = c.clinic_id
LEFT JOIN clinic_counters AS n ON k.clinic_id = n.clinic_id
LEFT JOIN relay_cursors AS r ON k.clinic_id = r.clinic_id
ORDER BY k.clinic_id;

-- capacities --
SELECT
    clinic_id,
    provider_id,
    greatest(capacity, capacity_before) AS capacity
FROM providers;

-- consumed --
SELECT
    partition,
    next_offset
FROM consumed_offsets
WHERE topic = $1;

-- moves --
SELECT
    clinic_id,
    map_version,
    from_partition,
    to_partition
FROM clinic_moves
ORDER BY clinic_id, map_version;

-- aliases --
SELECT
    b.ref,
    b.booking_ref,
    a.booking_ref IS NOT NULL
    OR EXISTS (
        SELECT
        FROM archived_bookings AS z
        WHERE z.clinic_id = left(b.booking_ref, 4) AND z.booking_ref = b.booking_ref
    )
    OR EXISTS (
        SELECT
        FROM archived_elsewhere AS w
        WHERE w.clinic_id = left(b.booking_ref, 4)
    ) AS leads_to_row
FROM booking_refs AS b
LEFT JOIN appointments AS a ON left(b.booking_ref, 4) = a.clinic_id AND b.booking_ref = a.booking_ref
WHERE b.ref <> b.booking_ref;

-- endpoints --
SELECT
    endpoint_id,
    owner_kind,
    owner_id,
    events,
    told_from
FROM webhook_endpoints
WHERE active;

-- rows --
SELECT
    a.clinic_id,
    a.booking_ref,
    a.app_id,
    a.ticket,
    a.status,
    a.stage,
    a.clinic_state,
    a.reason,
    a."by", -- noqa: RF06
    a.revision,
    a.moving_to,
    a.row_version,
    a.provider_id,
    a.seat,
    a.start_at,
    a.end_at,
    a.hold_until,
    a.clinic_booking_id,
    a.doses,
    b.ref IS NOT NULL AS key_remembered
FROM appointments AS a
LEFT JOIN booking_refs AS b ON a.booking_ref = b.ref
WHERE a.clinic_id = any($1::text[]);

-- events --
SELECT
    clinic_id,
    seq,
    booking_ref,
    event,
    record
FROM appointment_events
WHERE clinic_id = any($1::text[])
ORDER BY clinic_id, seq;

-- claims_since --
-- Claims of the days before have been put away; null while there is no month to claim in at all.
SELECT min(first_day) AS day
FROM claim_ranges
WHERE NOT going;

-- claims --
-- What is claimed in pieces is put together from them, whatever they say they are pieces of.
SELECT
    clinic_id,
    booking_ref,
    revision,
    provider_id,
    seat,
    lower(during) AS start_at,
    upper(during) AS busy_until
FROM seat_claims
WHERE clinic_id = any($1::text[]) AND claimed IS NULL
UNION ALL
SELECT
    p.clinic_id,
    p.booking_ref,
    p.revision,
    p.provider_id,
    p.seat,
    lower(w.whole) AS start_at,
    upper(w.whole) AS busy_until
FROM (
    SELECT
        clinic_id,
        booking_ref,
        revision,
        provider_id,
        seat,
        range_agg(during) AS pieces
    FROM seat_claims
    WHERE clinic_id = any($1::text[]) AND claimed IS NOT NULL
    GROUP BY clinic_id, booking_ref, revision, provider_id, seat
) AS p
CROSS JOIN LATERAL unnest(p.pieces) AS w (whole);

-- doses --
SELECT
    clinic_id,
    booking_ref,
    product,
    doses,
    pool,
    lot
FROM dose_claims
WHERE clinic_id = any($1::text[])
UNION ALL
SELECT
    clinic_id,
    booking_ref,
    product,
    doses,
    NULL AS pool,
    NULL AS lot
FROM dose_shortages
WHERE clinic_id = any($1::text[]);

-- lots --
SELECT
    clinic_id,
    product,
    pool,
    lot,
    on_hand,
    reserved,
    administered,
    wasted
FROM stock_lots
WHERE clinic_id = any($1::text[]);

-- moved --
SELECT
    clinic_id,
    product,
    pool,
    lot,
    sum(on_hand)::integer AS on_hand,
    sum(reserved)::integer AS reserved,
    sum(administered)::integer AS administered,
    sum(wasted)::integer AS wasted
FROM stock_movements
WHERE clinic_id = any($1::text[])
GROUP BY clinic_id, product, pool, lot;

-- places --
SELECT
    clinic_id,
    booking_ref,
    place IS NOT NULL AS pending
FROM patient_claims
WHERE clinic_id = any($1::text[]);

-- dosed --
SELECT
    clinic_id,
    booking_ref,
    sum(reserved)::integer AS reserved,
    sum(administered)::integer AS administered
FROM stock_movements
WHERE clinic_id = any($1::text[]) AND booking_ref IS NOT NULL
GROUP BY clinic_id, booking_ref;

-- wishes --
SELECT
    clinic_id,
    booking_ref,
    service_type,
    provider_id,
    from_at,
    to_at
FROM waitlist
WHERE clinic_id = any($1::text[]);

-- offers --
SELECT
    clinic_id,
    offer_id,
    booking_ref,
    revision,
    group_id,
    to_all,
    provider_id,
    start_at,
    expires_at,
    ended_at,
    outcome
FROM offers
WHERE clinic_id = any($1::text[])
ORDER BY clinic_id, made_at, offer_id;

-- deliveries --
SELECT
    clinic_id,
    endpoint_id,
    seq,
    state
FROM webhook_deliveries
WHERE clinic_id = any($1::text[]);

-- archived_rows --
-- As they were when they were archived.
SELECT
    z.clinic_id,
    z.booking_ref,
    z.app_id,
    a.ticket,
    a.status,
    a.stage,
    a.clinic_state,
    a.reason,
    a."by", -- noqa: RF06
    a.revision,
    a.moving_to,
    a.row_version,
    a.provider_id,
    a.seat,
    a.start_at,
    a.end_at,
    a.hold_until,
    a.clinic_booking_id,
    a.doses,
    b.ref IS NOT NULL AS key_remembered
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_populate_record(NULL::appointments, z.document -> 'appointment') AS a
LEFT JOIN booking_refs AS b ON z.booking_ref = b.ref
WHERE z.clinic_id = any($1::text[]);

-- archived_events --
SELECT -- noqa: ST06
    z.clinic_id,
    (e.record ->> 'seq')::bigint AS seq,
    z.booking_ref,
    e.record ->> 'event' AS event,
    e.record
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_array_elements(z.document -> 'events') AS e (record)
WHERE z.clinic_id = any($1::text[]);

-- archived_wishes --
SELECT
    z.clinic_id,
    z.booking_ref,
    w.service_type,
    w.provider_id,
    w.from_at,
    w.to_at
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_populate_recordset(NULL::waitlist, z.document -> 'waitlist') AS w
WHERE z.clinic_id = any($1::text[]);

-- archived_offers --
SELECT
    z.clinic_id,
    o.offer_id,
    z.booking_ref,
    o.revision,
    o.group_id,
    o.to_all,
    o.provider_id,
    o.start_at,
    o.expires_at,
    o.ended_at,
    o.outcome
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_populate_recordset(NULL::offers, z.document -> 'offers') AS o
WHERE z.clinic_id = any($1::text[]);

-- archived_deliveries --
SELECT
    z.clinic_id,
    d.endpoint_id,
    d.seq,
    d.state
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_populate_recordset(NULL::webhook_deliveries, z.document -> 'webhook_deliveries') AS d
WHERE z.clinic_id = any($1::text[]);

-- elsewhere --
-- What is in months that are detached.
SELECT
    w.clinic_id,
    sum(w.bookings)::integer AS bookings,
    sum(w.tickets)::integer AS tickets,
    sum(w.events)::integer AS events
FROM archived_elsewhere AS w
WHERE
    w.clinic_id = any($1::text[])
    AND NOT EXISTS (
        SELECT
        FROM pg_inherits AS i
        INNER JOIN pg_class AS c ON i.inhrelid = c.oid
        WHERE i.inhparent = 'archived_bookings'::regclass AND NOT i.inhdetachpending AND w.range_name = c.relname
    )
GROUP BY w.clinic_id;
