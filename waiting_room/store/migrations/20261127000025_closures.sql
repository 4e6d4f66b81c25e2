-- migrate:up

-- That a clinic has closed for a while, written in the transaction that blocks the time. No event of a booking: it has
-- numbers of its own, and its deliveries stand under the clinic_id 'closure' and its number.
CREATE TABLE clinic_closures (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    clinic_id text NOT NULL REFERENCES clinics,
    closure_id text NOT NULL,
    -- 1, 2, 3 ... within the clinic.
    sequence bigint NOT NULL CHECK (sequence >= 1),
    at timestamptz NOT NULL,
    -- What endpoints are told of it, as they are told.
    payload jsonb NOT NULL,
    UNIQUE (clinic_id, closure_id),
    UNIQUE (clinic_id, sequence)
);
CREATE INDEX clinic_closures_by_time ON clinic_closures (at);

GRANT SELECT, INSERT ON clinic_closures TO waiting_room_ingress;
GRANT SELECT ON clinic_closures TO waiting_room_audit;

-- migrate:down
DROP TABLE clinic_closures;
