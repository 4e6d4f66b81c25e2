-- migrate:up

-- When all there is of a product was last counted. What is on hand is right since then: who tells later which lot somebody
-- was given changes what was administered, and not what is left.
ALTER TABLE clinic_stock ADD COLUMN counted_at timestamptz;
UPDATE clinic_stock AS s
SET
    counted_at = (
        SELECT max(m.at)
        FROM stock_movements AS m
        WHERE m.clinic_id = s.clinic_id AND m.product = s.product AND m.kind = 'recounted'
    );

-- What a booking was given.
CREATE INDEX stock_movements_administered ON stock_movements (clinic_id, booking_ref) WHERE kind = 'administered';

-- migrate:down
DROP INDEX stock_movements_administered;
ALTER TABLE clinic_stock DROP COLUMN counted_at;
