-- migrate:up

-- Calendars elsewhere that say when a provider is busy, one a provider; what was read of them is in busy_times.
CREATE TABLE busy_feeds (
    provider_id text PRIMARY KEY,
    clinic_id text NOT NULL,
    -- Its address, which is a secret: whoever has it reads the calendar. All that is shown of it is the host.
    sealed bytea NOT NULL,
    host text NOT NULL,
    -- Grows when another address is put and when somebody begins to read: what was read before that is not stored.
    turn bigint NOT NULL DEFAULT 0,
    put_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(),
    -- When it was last read, or found unchanged; and when it was last read as a whole.
    read_at timestamptz,
    whole_at timestamptz,
    -- Of that whole: what tells that it has not changed since.
    etag text,
    last_modified text,
    digest bytea,
    -- In a row, up to now; and why the last one was.
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    error text,
    failed_at timestamptz,
    FOREIGN KEY (clinic_id, provider_id) REFERENCES providers (clinic_id, provider_id),
    CHECK ((failures = 0) = (error IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX busy_feeds_due ON busy_feeds (next_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON busy_feeds TO waiting_room_ingress;
GRANT SELECT, UPDATE ON busy_feeds TO waiting_room_sweep;
GRANT INSERT, UPDATE, DELETE ON busy_times TO waiting_room_sweep;

-- migrate:down
REVOKE INSERT, UPDATE, DELETE ON busy_times FROM waiting_room_sweep;
DELETE FROM busy_times
WHERE source = 'busy-feed';
DROP TABLE busy_feeds;
