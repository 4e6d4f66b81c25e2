-- migrate:up

CREATE TABLE apps (
    app_id text PRIMARY KEY,
    name text NOT NULL
);

-- The secret itself is shown once, when the key is made.
CREATE TABLE access_keys (
    key_id text PRIMARY KEY,
    owner_kind text NOT NULL CHECK (owner_kind IN ('app', 'clinic', 'operator')),
    owner_id text NOT NULL,
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Changes of clinics, providers and keys on their way to the compacted topics.
CREATE TABLE directory_outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    record jsonb NOT NULL
);

CREATE TABLE webhook_endpoints (
    endpoint_id text PRIMARY KEY,
    owner_kind text NOT NULL CHECK (owner_kind IN ('app', 'clinic')),
    owner_id text NOT NULL,
    url text NOT NULL,
    -- Standard Webhooks secret ("whsec_...").
    secret text NOT NULL,
    events text[] NOT NULL,
    active boolean NOT NULL DEFAULT TRUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_endpoints_of_owner ON webhook_endpoints (owner_kind, owner_id);

CREATE TABLE webhook_deliveries (
    endpoint_id text NOT NULL REFERENCES webhook_endpoints,
    clinic_id text NOT NULL,
    seq bigint NOT NULL,
    booking_ref text NOT NULL,
    event text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    committed_at timestamptz NOT NULL,
    delivered_at timestamptz,
    last_status integer,
    last_error text,
    PRIMARY KEY (endpoint_id, clinic_id, seq)
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE state = 'due';

-- migrate:down
DROP TABLE webhook_deliveries, webhook_endpoints, directory_outbox, access_keys, apps;
