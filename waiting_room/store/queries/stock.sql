-- of_product --
SELECT
    c.timezone,
    p.name,
    s.counted_at,
    coalesce(s.version, 0) AS version
FROM clinics AS c
INNER JOIN products AS p ON c.business_id = p.business_id
LEFT JOIN clinic_stock AS s ON c.clinic_id = s.clinic_id AND p.product = s.product
WHERE c.clinic_id = $1 AND p.product = $2;

-- knows --
SELECT TRUE FROM clinics
WHERE clinic_id = $1;

-- lots --
SELECT
    pool,
    lot,
    expires_on,
    on_hand,
    reserved,
    administered,
    wasted
FROM stock_lots
WHERE clinic_id = $1 AND product = $2;

-- needs --
-- Everybody who has doses of this product or should have: the claims first, then those who are short. Whoever is to be
-- moved needs them on the later of the two days. It is over when it ends; for who has arrived, half a day later.
SELECT
    a.booking_ref,
    a.ticket,
    a.status,
    n.doses,
    n.asked_pool,
    n.pool,
    n.lot,
    greatest(a.start_at, r.start_at) AS start_at,
    greatest(a.end_at, r.end_at)
    < now() - make_interval(hours => CASE a.status WHEN 'arrived' THEN 12 ELSE 0 END) AS is_over
FROM (
    SELECT
        booking_ref,
        doses,
        asked_pool,
        pool,
        lot
    FROM dose_claims
    WHERE clinic_id = $1 AND product = $2
    UNION ALL
    SELECT
        booking_ref,
        doses,
        asked_pool,
        NULL AS pool,
        NULL AS lot
    FROM dose_shortages
    WHERE clinic_id = $1 AND product = $2
) AS n
INNER JOIN appointments AS a ON a.clinic_id = $1 AND n.booking_ref = a.booking_ref
LEFT JOIN reschedules AS r
    ON a.clinic_id = r.clinic_id AND a.booking_ref = r.booking_ref AND a.moving_to = r.revision;

-- save_lots --
INSERT INTO stock_lots AS l (clinic_id, product, pool, lot, expires_on, on_hand, reserved, administered, wasted)
SELECT
    $1 AS clinic_id,
    $2 AS product,
    n.pool,
    n.lot,
    n.expires_on,
    n.on_hand,
    n.reserved,
    n.administered,
    n.wasted
FROM
    unnest(
        $3::text[], $4::text[], $5::date[], $6::integer[], $7::integer[], $8::integer[], $9::integer[]
    ) AS n (pool, lot, expires_on, on_hand, reserved, administered, wasted)
ON CONFLICT (clinic_id, product, pool, lot) DO UPDATE
    SET
        expires_on = excluded.expires_on, on_hand = excluded.on_hand, reserved = excluded.reserved,
        administered = excluded.administered, wasted = excluded.wasted;

-- free_claims --
DELETE FROM dose_claims AS d
WHERE d.clinic_id = $1 AND d.product = $2 AND d.booking_ref = any($3::text[]);

-- end_shortages --
DELETE FROM dose_shortages AS s
WHERE s.clinic_id = $1 AND s.product = $2 AND s.booking_ref = any($3::text[]);

-- save_version --
INSERT INTO clinic_stock AS s (clinic_id, product, version, counted_at)
VALUES ($1, $2, 1, CASE WHEN $3::boolean THEN clock_timestamp() END)
ON CONFLICT (clinic_id, product) DO UPDATE
    SET version = s.version + 1, counted_at = coalesce(excluded.counted_at, s.counted_at);

-- given --
-- What a booking was given of a product, by lot, less what was corrected since; and when it was first said.
SELECT
    pool,
    lot,
    sum(administered)::integer AS doses,
    min(at) AS said_at
FROM stock_movements
WHERE clinic_id = $1 AND product = $2 AND booking_ref = $3 AND kind = 'administered'
GROUP BY pool, lot;

-- fillable --
-- Where bookings are short of something of which anything is free.
SELECT DISTINCT
    s.clinic_id,
    s.product
FROM dose_shortages AS s
INNER JOIN stock_lots AS l ON s.clinic_id = l.clinic_id AND s.product = l.product
WHERE l.reserved < l.on_hand AND l.expires_on >= current_date - 1;

-- to_rebook --
-- Where somebody is short of something of which anything is free, which will not do on their day: sweep has given what
-- would. Noted as asked for, so that it is asked again after $1 seconds and not before.
WITH due AS (
    SELECT
        s.clinic_id,
        s.booking_ref,
        s.product
    FROM dose_shortages AS s
    INNER JOIN appointments AS a ON s.clinic_id = a.clinic_id AND s.booking_ref = a.booking_ref
    WHERE
        a.status IN ('pending', 'confirmed') AND a.moving_to IS NULL AND a.start_at > now()
        AND (s.asked_at IS NULL OR s.asked_at < now() - make_interval(secs => $1))
        AND EXISTS (
            SELECT l.lot
            FROM stock_lots AS l
            WHERE
                l.clinic_id = s.clinic_id AND l.product = s.product AND l.reserved < l.on_hand
                AND l.expires_on >= current_date
        )
    FOR UPDATE OF s SKIP LOCKED
),

asked AS (
    UPDATE dose_shortages AS s
    SET asked_at = now()
    FROM due AS n
    WHERE s.clinic_id = n.clinic_id AND s.booking_ref = n.booking_ref AND s.product = n.product
    RETURNING s.clinic_id, s.product
)

SELECT DISTINCT
    n.clinic_id,
    n.product,
    c.partition
FROM asked AS n
INNER JOIN clinics AS c ON n.clinic_id = c.clinic_id
ORDER BY n.clinic_id, n.product;

-- movable --
-- Of whom the product is wanted, the last to have booked first; of these, all that they are short of.
WITH last AS (
    SELECT
        a.clinic_id,
        a.booking_ref,
        a.ticket
    FROM dose_shortages AS s
    INNER JOIN appointments AS a ON s.clinic_id = a.clinic_id AND s.booking_ref = a.booking_ref
    WHERE
        s.clinic_id = $1 AND s.product = $2
        AND a.status IN ('pending', 'confirmed') AND a.moving_to IS NULL AND a.start_at > now()
    ORDER BY a.ticket DESC
    LIMIT $3
)

SELECT
    s.booking_ref,
    s.product,
    s.doses,
    s.asked_pool
FROM last AS n
INNER JOIN dose_shortages AS s ON n.clinic_id = s.clinic_id AND n.booking_ref = s.booking_ref
ORDER BY n.ticket DESC, s.product ASC;

-- rebooked --
-- Who was moved, or is being moved, for want of a product.
SELECT
    r.clinic_id,
    r.booking_ref,
    r.for_want_of AS product,
    r.requested_at,
    r.start_at,
    r.outcome
FROM reschedules AS r
WHERE r.for_want_of IS NOT NULL AND ($1::text IS NULL OR r.clinic_id = $1)
ORDER BY r.clinic_id, r.requested_at, r.booking_ref;

-- report --
-- Every lot beside the sums of its movements; null asks for every clinic, or every product.
WITH moved AS (
    SELECT
        clinic_id,
        product,
        pool,
        lot,
        sum(on_hand) AS on_hand,
        sum(reserved) AS reserved,
        sum(administered) AS administered,
        sum(wasted) AS wasted,
        coalesce(sum(on_hand) FILTER (WHERE kind = 'received'), 0) AS received,
        coalesce(sum(on_hand) FILTER (WHERE kind = 'recounted'), 0) AS recounted,
        coalesce(sum(on_hand) FILTER (WHERE kind = 'transferred'), 0) AS transferred
    FROM stock_movements
    WHERE $1::text IS NULL OR clinic_id = $1
    GROUP BY clinic_id, product, pool, lot
),

claimed AS (
    SELECT
        clinic_id,
        product,
        pool,
        lot,
        sum(doses) AS doses
    FROM dose_claims
    WHERE $1::text IS NULL OR clinic_id = $1
    GROUP BY clinic_id, product, pool, lot
)

SELECT
    l.clinic_id,
    l.product,
    l.pool,
    l.lot,
    l.expires_on,
    l.on_hand,
    l.reserved,
    l.administered,
    l.wasted,
    coalesce(m.received, 0) AS received,
    coalesce(m.recounted, 0) AS recounted,
    coalesce(m.transferred, 0) AS transferred,
    (
        l.on_hand = coalesce(m.on_hand, 0) AND l.reserved = coalesce(m.reserved, 0)
        AND l.administered = coalesce(m.administered, 0) AND l.wasted = coalesce(m.wasted, 0)
        AND l.reserved = coalesce(d.doses, 0)
    ) AS balanced
FROM stock_lots AS l
LEFT JOIN moved AS m ON l.clinic_id = m.clinic_id AND l.product = m.product AND l.pool = m.pool AND l.lot = m.lot
LEFT JOIN claimed AS d ON l.clinic_id = d.clinic_id AND l.product = d.product AND l.pool = d.pool AND l.lot = d.lot
WHERE ($1::text IS NULL OR l.clinic_id = $1) AND ($2::text IS NULL OR l.product = $2)
ORDER BY l.clinic_id, l.product, l.pool, l.expires_on, l.lot;

-- short --
-- Bookings without a dose, those to be moved first before: the last to have booked.
SELECT
    s.clinic_id,
    s.booking_ref,
    s.product,
    s.doses,
    s.since,
    a.start_at,
    a.ticket
FROM dose_shortages AS s
INNER JOIN appointments AS a ON s.clinic_id = a.clinic_id AND s.booking_ref = a.booking_ref
WHERE ($1::text IS NULL OR s.clinic_id = $1) AND ($2::text IS NULL OR s.product = $2)
ORDER BY s.clinic_id ASC, a.ticket DESC, s.product ASC;

-- products --
SELECT
    p.product,
    p.name,
    coalesce(s.version, 0) AS version
FROM clinics AS c
INNER JOIN products AS p ON c.business_id = p.business_id
LEFT JOIN clinic_stock AS s ON c.clinic_id = s.clinic_id AND p.product = s.product
WHERE c.clinic_id = $1
ORDER BY p.product;
