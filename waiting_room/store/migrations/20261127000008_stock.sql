-- migrate:up

CREATE TABLE products (
    business_id text NOT NULL REFERENCES businesses,
    product text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (business_id, product)
);

-- What one appointment takes from stock: [{"product": "mmr", "doses": 1, "pool": "second"}]
ALTER TABLE service_types ADD COLUMN consumes jsonb NOT NULL DEFAULT '[]';

-- How many doses the booking was given when it was held, over all products.
ALTER TABLE appointments ADD COLUMN doses integer NOT NULL DEFAULT 0 CHECK (doses >= 0);

-- A confirmed patient arrives, is seen, or does not come.
ALTER TABLE appointments
DROP CONSTRAINT appointments_status_check,
ADD CONSTRAINT appointments_status_check
CHECK (status IN ('pending', 'confirmed', 'rejected', 'cancelled', 'arrived', 'completed', 'no_show')),
ADD CONSTRAINT appointments_visited_check CHECK (
    status NOT IN ('arrived', 'completed', 'no_show')
    OR (provider_id IS NOT NULL AND start_at IS NOT NULL AND ticket IS NOT NULL AND clinic_state IN ('none', 'booked'))
);

CREATE INDEX appointments_awaited ON appointments (clinic_id, start_at) WHERE status = 'confirmed';

-- So long after its start a confirmed patient who has not arrived is taken for absent; null where the clinic does not
-- say who arrives.
ALTER TABLE clinics ADD COLUMN no_show_after_minutes integer CHECK (no_show_after_minutes BETWEEN 0 AND 1440);

-- A clinic's stock of a product as people count and enter it; bookings do not change the version.
CREATE TABLE clinic_stock (
    clinic_id text NOT NULL REFERENCES clinics,
    product text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    PRIMARY KEY (clinic_id, product)
);

-- Whoever changes a lot has locked its clinic's counter row: lots need no lock of their own. What that lock should
-- make sure of, the CHECKs do again.
CREATE TABLE stock_lots (
    clinic_id text NOT NULL REFERENCES clinics,
    product text NOT NULL,
    -- 'general', or kept for services that name this pool: those with another never take from it.
    pool text NOT NULL,
    lot text NOT NULL,
    -- The last day on which it may be used.
    expires_on date NOT NULL,
    -- In the fridge, what is reserved included.
    on_hand integer NOT NULL DEFAULT 0,
    reserved integer NOT NULL DEFAULT 0,
    administered integer NOT NULL DEFAULT 0,
    wasted integer NOT NULL DEFAULT 0,
    PRIMARY KEY (clinic_id, product, pool, lot),
    CONSTRAINT stock_lots_not_negative CHECK (on_hand >= 0 AND reserved >= 0 AND administered >= 0 AND wasted >= 0),
    CONSTRAINT stock_lots_not_oversold CHECK (reserved <= on_hand)
) WITH (fillfactor = 50);

-- As with seats: a row takes doses, its absence frees them. A booking that is moved takes its doses along.
CREATE TABLE dose_claims (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    product text NOT NULL,
    pool text NOT NULL,
    lot text NOT NULL,
    doses integer NOT NULL CHECK (doses > 0),
    -- The pool its service names, which need not be the one it was served from.
    asked_pool text NOT NULL,
    PRIMARY KEY (clinic_id, booking_ref, product),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref),
    FOREIGN KEY (clinic_id, product, pool, lot) REFERENCES stock_lots
);
CREATE INDEX dose_claims_of_product ON dose_claims (clinic_id, product);

-- Bookings whose dose was not there when it was counted: to be moved, the last to book, unless stock comes first.
-- While there are any, nobody new is given a dose of that product.
CREATE TABLE dose_shortages (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    product text NOT NULL,
    doses integer NOT NULL CHECK (doses > 0),
    asked_pool text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (clinic_id, booking_ref, product),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref)
);
CREATE INDEX dose_shortages_of_product ON dose_shortages (clinic_id, product);

-- Append-only: every change of a lot, with what it did to each of its figures. A lot is the sum of its movements.
CREATE TABLE stock_movements (
    movement bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    clinic_id text NOT NULL,
    product text NOT NULL,
    pool text NOT NULL,
    lot text NOT NULL,
    kind text NOT NULL
    CHECK (kind IN ('received', 'recounted', 'wasted', 'transferred', 'reserved', 'released', 'administered')),
    on_hand integer NOT NULL DEFAULT 0,
    reserved integer NOT NULL DEFAULT 0,
    administered integer NOT NULL DEFAULT 0,
    wasted integer NOT NULL DEFAULT 0,
    booking_ref text,
    -- The key it was entered with; none where a booking moved it.
    entered_by text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (kind NOT IN ('reserved', 'released') OR booking_ref IS NOT NULL)
);
CREATE INDEX stock_movements_of_lot ON stock_movements (clinic_id, product, pool, lot);

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER stock_movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_movements
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT ON clinic_stock, stock_lots, dose_claims, dose_shortages TO waiting_room_hold, waiting_room_confirm,
waiting_room_sweep, waiting_room_ingress;
GRANT UPDATE (on_hand, reserved, administered, wasted) ON stock_lots TO waiting_room_hold, waiting_room_confirm,
waiting_room_sweep;
GRANT INSERT ON stock_movements TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep, waiting_room_ingress;
GRANT DELETE ON dose_claims, dose_shortages TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_ingress;
GRANT INSERT ON dose_claims TO waiting_room_hold, waiting_room_sweep, waiting_room_ingress;

-- The desk: what a clinic's people enter is written while they wait for the answer.
GRANT SELECT ON products, stock_movements, call_attempts TO waiting_room_ingress;
GRANT INSERT, UPDATE ON clinic_stock, stock_lots TO waiting_room_ingress;
GRANT INSERT ON dose_shortages TO waiting_room_ingress;
GRANT UPDATE ON clinic_counters, appointments TO waiting_room_ingress;
GRANT INSERT ON appointment_events TO waiting_room_ingress;
GRANT DELETE ON seat_claims TO waiting_room_ingress;

-- Sweep gives what came free to who is short.
GRANT SELECT ON products TO waiting_room_sweep;
GRANT INSERT, UPDATE ON stock_lots TO waiting_room_sweep;
GRANT INSERT ON dose_shortages TO waiting_room_sweep;

GRANT SELECT ON products, clinic_stock, stock_lots, dose_claims, dose_shortages, stock_movements TO waiting_room_audit;

-- migrate:down
REVOKE UPDATE ON clinic_counters, appointments FROM waiting_room_ingress;
REVOKE INSERT ON appointment_events FROM waiting_room_ingress;
REVOKE DELETE ON seat_claims FROM waiting_room_ingress;
REVOKE SELECT ON call_attempts FROM waiting_room_ingress;
DROP TABLE stock_movements, dose_shortages, dose_claims, stock_lots, clinic_stock, products;
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'appointment_events is append-only';
END
$$;
ALTER TABLE clinics DROP COLUMN no_show_after_minutes;
DROP INDEX appointments_awaited;
ALTER TABLE appointments
DROP COLUMN doses,
DROP CONSTRAINT appointments_visited_check,
DROP CONSTRAINT appointments_status_check,
ADD CONSTRAINT appointments_status_check CHECK (status IN ('pending', 'confirmed', 'rejected', 'cancelled'));
ALTER TABLE service_types DROP COLUMN consumes;
