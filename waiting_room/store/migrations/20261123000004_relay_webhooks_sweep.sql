-- migrate:up

-- Due deliveries are taken an endpoint at a time, so that one endpoint's pile does not hide the others'.
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at) WHERE state = 'due';

-- Sweep reads these every second: holds by the time they run out, and what a clinic may know of by when it is due.
DROP INDEX appointments_unfinished;
CREATE INDEX appointments_expiring ON appointments (hold_until) WHERE status = 'pending';
CREATE INDEX appointments_at_clinic ON appointments (next_attempt_at)
WHERE clinic_state IN ('calling', 'unknown', 'withdrawing');

-- When sweep last rang for a booking, so that several sweeps together do not ring more often than one.
-- Losing it in a crash costs a doorbell rung once too often.
CREATE UNLOGGED TABLE rings (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    rung_at timestamptz NOT NULL,
    PRIMARY KEY (clinic_id, booking_ref)
);
CREATE INDEX rings_by_age ON rings (rung_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON rings TO waiting_room_sweep;

-- migrate:down
DROP TABLE rings;
DROP INDEX appointments_at_clinic, appointments_expiring;
CREATE INDEX appointments_unfinished ON appointments (next_attempt_at)
WHERE clinic_state IN ('calling', 'unknown', 'withdrawing') OR status = 'pending';
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE state = 'due';
