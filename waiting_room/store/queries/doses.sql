-- free_lots --
-- What is there and what of it is free; all of it may be reserved and some come free in this transaction.
SELECT
    l.clinic_id,
    l.product,
    l.pool,
    l.lot,
    l.expires_on,
    -- Where bookings are short of the product what comes free is theirs: newcomers find nothing.
    l.on_hand - l.reserved - CASE WHEN s.short AND NOT $3::boolean THEN l.on_hand ELSE 0 END AS free
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, product)
INNER JOIN stock_lots AS l ON n.clinic_id = l.clinic_id AND n.product = l.product
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT count(*) > 0 AS short
        FROM dose_shortages AS d
        WHERE d.clinic_id = n.clinic_id AND d.product = n.product
    ) AS s
WHERE l.on_hand > 0 AND l.expires_on >= current_date - 1;

-- claims_of --
SELECT
    d.clinic_id,
    d.booking_ref,
    d.product,
    d.pool,
    d.lot,
    d.doses,
    d.asked_pool
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN dose_claims AS d ON n.clinic_id = d.clinic_id AND n.booking_ref = d.booking_ref;

-- holders --
-- Who is to come and has doses of these products, and when; the last to have booked first. Whoever is to be moved needs
-- them on the later of the two days.
SELECT
    d.booking_ref,
    d.product,
    d.pool,
    d.lot,
    d.doses,
    d.asked_pool,
    (greatest(a.start_at, r.start_at) AT TIME ZONE c.timezone)::date AS day
FROM dose_claims AS d
INNER JOIN appointments AS a ON d.clinic_id = a.clinic_id AND d.booking_ref = a.booking_ref
INNER JOIN clinics AS c ON d.clinic_id = c.clinic_id
LEFT JOIN reschedules AS r
    ON a.clinic_id = r.clinic_id AND a.booking_ref = r.booking_ref AND a.moving_to = r.revision
WHERE
    d.clinic_id = $1 AND d.product = any($2::text[])
    AND a.status IN ('pending', 'confirmed') AND a.end_at > now()
ORDER BY a.ticket DESC, d.product ASC;

-- claim --
-- Doses were allotted in code, under the clinics' locks; the lots' CHECKs have the last word.
WITH claimed AS (
    INSERT INTO dose_claims (clinic_id, booking_ref, product, pool, lot, doses, asked_pool)
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[])
    RETURNING clinic_id, booking_ref, product, pool, lot, doses
),

lots AS (
    UPDATE stock_lots AS l
    SET reserved = l.reserved + c.doses
    FROM (
        SELECT
            clinic_id,
            product,
            pool,
            lot,
            sum(doses) AS doses
        FROM claimed
        GROUP BY clinic_id, product, pool, lot
    ) AS c
    WHERE l.clinic_id = c.clinic_id AND l.product = c.product AND l.pool = c.pool AND l.lot = c.lot
)

INSERT INTO stock_movements (clinic_id, product, pool, lot, kind, reserved, booking_ref)
SELECT
    clinic_id,
    product,
    pool,
    lot,
    'reserved' AS kind,
    doses AS reserved,
    booking_ref
FROM claimed;

-- exchange --
-- These bookings' claims on these products end, or that they are short of them: they get others.
WITH ended AS (
    DELETE FROM dose_claims AS d
    USING unnest($1::text[], $2::text[], $3::text[]) AS n (clinic_id, booking_ref, product)
    WHERE d.clinic_id = n.clinic_id AND d.booking_ref = n.booking_ref AND d.product = n.product
    RETURNING d.clinic_id, d.booking_ref, d.product, d.pool, d.lot, d.doses
),

short AS (
    DELETE FROM dose_shortages AS s
    USING unnest($1::text[], $2::text[], $3::text[]) AS n (clinic_id, booking_ref, product)
    WHERE s.clinic_id = n.clinic_id AND s.booking_ref = n.booking_ref AND s.product = n.product
),

lots AS (
    UPDATE stock_lots AS l
    SET reserved = l.reserved - e.doses
    FROM (
        SELECT
            clinic_id,
            product,
            pool,
            lot,
            sum(doses) AS doses
        FROM ended
        GROUP BY clinic_id, product, pool, lot
    ) AS e
    WHERE l.clinic_id = e.clinic_id AND l.product = e.product AND l.pool = e.pool AND l.lot = e.lot
)

INSERT INTO stock_movements (clinic_id, product, pool, lot, kind, reserved, booking_ref)
SELECT
    clinic_id,
    product,
    pool,
    lot,
    'released' AS kind,
    -doses AS reserved,
    booking_ref
FROM ended;

-- settle --
-- These bookings' claims end: administered where $3 says so, else given back. What was short is short no more.
WITH ended AS (
    DELETE FROM dose_claims AS d
    USING unnest($1::text[], $2::text[], $3::boolean[]) AS n (clinic_id, booking_ref, administered)
    WHERE d.clinic_id = n.clinic_id AND d.booking_ref = n.booking_ref
    RETURNING
        d.clinic_id, d.booking_ref, d.product, d.pool, d.lot, d.doses,
        CASE WHEN n.administered THEN d.doses ELSE 0 END AS used
),

short AS (
    DELETE FROM dose_shortages AS s
    USING unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
    WHERE s.clinic_id = n.clinic_id AND s.booking_ref = n.booking_ref
),

lots AS (
    UPDATE stock_lots AS l
    SET reserved = l.reserved - e.doses, on_hand = l.on_hand - e.used, administered = l.administered + e.used
    FROM (
        SELECT
            clinic_id,
            product,
            pool,
            lot,
            sum(doses) AS doses,
            sum(used) AS used
        FROM ended
        GROUP BY clinic_id, product, pool, lot
    ) AS e
    WHERE l.clinic_id = e.clinic_id AND l.product = e.product AND l.pool = e.pool AND l.lot = e.lot
)

INSERT INTO stock_movements (clinic_id, product, pool, lot, kind, on_hand, reserved, administered, booking_ref)
SELECT
    clinic_id,
    product,
    pool,
    lot,
    CASE WHEN used > 0 THEN 'administered' ELSE 'released' END AS kind,
    -used AS on_hand,
    -doses AS reserved,
    used AS administered,
    booking_ref
FROM ended;
