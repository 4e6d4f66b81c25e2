-- migrate:up

-- Clinics that went, or are going, from one partition of the per-clinic topics to another. What is missing of a move is
-- done by running it again.
CREATE TABLE clinic_moves (
    -- Grows in the order in which moves are committed: they are begun one at a time.
    move_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    clinic_id text NOT NULL REFERENCES clinics,
    map_version integer NOT NULL CHECK (map_version > 1),
    from_partition integer NOT NULL CHECK (from_partition >= 0),
    to_partition integer NOT NULL CHECK (to_partition >= 0),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Every ingress knew the new map, and the old partition was told so.
    marker_written_at timestamptz,
    -- Hold has read all that came before in the old partition: commands in the new one need not wait any more.
    marker_read_at timestamptz,
    UNIQUE (clinic_id, map_version),
    CHECK (from_partition <> to_partition)
);
CREATE UNIQUE INDEX clinic_moves_one_at_a_time ON clinic_moves (clinic_id) WHERE marker_read_at IS NULL;
CREATE INDEX clinic_moves_from ON clinic_moves (from_partition);

GRANT SELECT, UPDATE (marker_read_at) ON clinic_moves TO waiting_room_hold;
GRANT SELECT ON clinic_moves TO waiting_room_confirm, waiting_room_relay, waiting_room_audit;

-- migrate:down
DROP TABLE clinic_moves;
