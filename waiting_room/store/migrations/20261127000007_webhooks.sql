-- migrate:up

-- Signing secrets, sealed under the master key (waiting_room/envelope.py). While one is rotated several sign.
CREATE TABLE webhook_secrets (
    endpoint_id text NOT NULL REFERENCES webhook_endpoints,
    secret_id text NOT NULL,
    sealed bytea NOT NULL,
    -- What signatures of the kind v1a are verified with ("whpk_..."); no secret.
    public_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Signs until then; the current one has none.
    expires_at timestamptz,
    PRIMARY KEY (endpoint_id, secret_id)
);
CREATE UNIQUE INDEX webhook_secrets_one_current ON webhook_secrets (endpoint_id)
WHERE expires_at IS NULL;

ALTER TABLE webhook_endpoints
DROP COLUMN secret,
ADD COLUMN payload text NOT NULL DEFAULT 'thin' CHECK (payload IN ('thin', 'full')),
-- Of the request that made it: the same idempotency key with another body is refused.
ADD COLUMN body_hash bytea,
-- It has answered a test event, or an operator vouches for it; before that it is sent nothing else.
ADD COLUMN verified_at timestamptz DEFAULT now(),
-- It is told of events from then on: since it was made, or last switched on.
ADD COLUMN told_from timestamptz NOT NULL DEFAULT now(),
-- Nothing but failures since then.
ADD COLUMN failing_since timestamptz,
ADD COLUMN disabled_at timestamptz,
ADD COLUMN disabled_reason text CHECK (disabled_reason IN ('owner', 'operator', 'gone', 'failing'));
-- Plain secrets are not carried over: these endpoints are switched on by importing them with a secret, or by rotating.
UPDATE webhook_endpoints
SET told_from = created_at, active = FALSE, disabled_at = now(), disabled_reason = 'operator';
ALTER TABLE webhook_endpoints
ADD CONSTRAINT webhook_endpoints_disabled_or_active CHECK (active = (disabled_at IS NULL)),
ADD CONSTRAINT webhook_endpoints_disabled_why CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL));

-- What a delivery says of a booking is rendered from the event when it is sent; only what is told of the endpoint
-- itself (a test, say) is kept, since no event stands behind it.
ALTER TABLE webhook_deliveries
ALTER COLUMN payload DROP NOT NULL,
ALTER COLUMN booking_ref DROP NOT NULL,
ADD COLUMN failed_why text CHECK (failed_why IN ('attempts', 'gone', 'disabled')),
ADD COLUMN replays integer NOT NULL DEFAULT 0 CHECK (replays >= 0);
UPDATE webhook_deliveries
SET
    payload = NULL,
    lease_until = NULL,
    delivered_at = CASE WHEN state = 'delivered' THEN coalesce(delivered_at, now()) END,
    failed_why = CASE WHEN state = 'failed' THEN 'attempts' END;
ALTER TABLE webhook_deliveries
ADD CONSTRAINT webhook_deliveries_leased_while_due CHECK (state = 'due' OR lease_until IS NULL),
ADD CONSTRAINT webhook_deliveries_delivered_when CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
ADD CONSTRAINT webhook_deliveries_failed_why CHECK ((state = 'failed') = (failed_why IS NOT NULL)),
ADD CONSTRAINT webhook_deliveries_of_booking_or_endpoint CHECK ((booking_ref IS NULL) = (payload IS NOT NULL)),
ADD CONSTRAINT webhook_deliveries_attempts CHECK (attempts >= 0);
-- Newest first, as they are listed.
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, committed_at, clinic_id, seq);
CREATE INDEX webhook_deliveries_tests ON webhook_deliveries (endpoint_id)
WHERE state = 'due' AND event = 'endpoint.test';
-- Replays ask for a stretch of time; events are appended in about its order.
CREATE INDEX appointment_events_by_time ON appointment_events USING brin (at) WITH (pages_per_range = 32);

-- The moves of waiting_room/domain/delivery.py; a test compares the two.
CREATE FUNCTION check_delivery_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = OLD.state OR (NEW.state = 'due' AND NEW.replays > OLD.replays) THEN
        RETURN NEW;
    END IF;
    IF (OLD.state, NEW.state) NOT IN (('due', 'delivered'), ('due', 'failed'), ('failed', 'delivered')) THEN
        RAISE EXCEPTION 'a delivery does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER webhook_deliveries_moves BEFORE UPDATE OF state ON webhook_deliveries
FOR EACH ROW EXECUTE FUNCTION check_delivery_move();

-- Every attempt: where it went, what came back and how long it took. The request's body is rendered from the event.
CREATE TABLE webhook_attempts (
    endpoint_id text NOT NULL,
    clinic_id text NOT NULL,
    seq bigint NOT NULL,
    started_at timestamptz NOT NULL,
    seconds double precision NOT NULL CHECK (seconds >= 0),
    url text NOT NULL,
    status integer,
    error text,
    -- The beginning of the answer's body.
    response text,
    PRIMARY KEY (endpoint_id, clinic_id, seq, started_at),
    CHECK (status IS NOT NULL OR error IS NOT NULL)
);

-- Numbers what is told of endpoints themselves.
CREATE SEQUENCE webhook_notices;

GRANT USAGE ON SEQUENCE webhook_notices TO waiting_room_webhooks, waiting_room_ingress;
GRANT SELECT ON appointment_events, webhook_secrets TO waiting_room_webhooks;
-- For endpoints that chose full payloads.
GRANT SELECT (clinic_id, booking_ref, patient_id, patient) ON appointments TO waiting_room_webhooks;
GRANT UPDATE (active, verified_at, failing_since, disabled_at, disabled_reason) ON webhook_endpoints TO waiting_room_webhooks;
GRANT SELECT, INSERT ON webhook_attempts TO waiting_room_webhooks;

GRANT SELECT, INSERT ON webhook_endpoints TO waiting_room_ingress;
GRANT UPDATE (active, told_from, failing_since, disabled_at, disabled_reason) ON webhook_endpoints TO waiting_room_ingress;
GRANT SELECT, INSERT, UPDATE (expires_at) ON webhook_secrets TO waiting_room_ingress;
GRANT SELECT, INSERT, UPDATE ON webhook_deliveries TO waiting_room_ingress;
GRANT SELECT ON webhook_attempts TO waiting_room_ingress;

-- migrate:down
DROP SEQUENCE webhook_notices;
DROP TABLE webhook_attempts, webhook_secrets;
DROP TRIGGER webhook_deliveries_moves ON webhook_deliveries;
DROP FUNCTION check_delivery_move;
DROP INDEX appointment_events_by_time, webhook_deliveries_tests, webhook_deliveries_of_endpoint;
DELETE FROM webhook_deliveries
WHERE booking_ref IS NULL;
ALTER TABLE webhook_deliveries
DROP CONSTRAINT webhook_deliveries_leased_while_due,
DROP CONSTRAINT webhook_deliveries_delivered_when,
DROP CONSTRAINT webhook_deliveries_failed_why,
DROP CONSTRAINT webhook_deliveries_of_booking_or_endpoint,
DROP CONSTRAINT webhook_deliveries_attempts,
DROP COLUMN failed_why,
DROP COLUMN replays;
UPDATE webhook_deliveries SET payload = '{}';
ALTER TABLE webhook_deliveries ALTER COLUMN payload SET NOT NULL, ALTER COLUMN booking_ref SET NOT NULL;
ALTER TABLE webhook_endpoints
DROP CONSTRAINT webhook_endpoints_disabled_or_active,
DROP CONSTRAINT webhook_endpoints_disabled_why,
ADD COLUMN secret text NOT NULL DEFAULT '',
DROP COLUMN payload,
DROP COLUMN body_hash,
DROP COLUMN verified_at,
DROP COLUMN told_from,
DROP COLUMN failing_since,
DROP COLUMN disabled_at,
DROP COLUMN disabled_reason;
