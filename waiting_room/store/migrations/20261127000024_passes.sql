-- migrate:up

-- A booking's passes that are of an earlier generation are void. Without a row it is 0: none was ever revoked.
CREATE TABLE pass_generations (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    generation integer NOT NULL CHECK (generation >= 1),
    revoked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, booking_ref),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref)
);

GRANT SELECT, INSERT, UPDATE ON pass_generations TO waiting_room_ingress;
GRANT SELECT ON pass_generations TO waiting_room_notify, waiting_room_audit;

-- migrate:down
DROP TABLE pass_generations;
