-- migrate:up

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waiting_room_notify') THEN
        CREATE ROLE waiting_room_notify;
    END IF;
END
$$;

-- One message to a patient by one channel: what is still to be sent, and what became of the rest. Beside the booking,
-- not part of it: confirmed means that the clinic confirmed. Holds no address and no text: both are read when it is sent.
CREATE TABLE notifications (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    kind text NOT NULL
    CHECK (kind ~ '^(confirmed|rejected|cancelled|rescheduled|offered|reminder-[1-9][0-9]*[mhd])$'),
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'sent', 'failed', 'dropped')),
    -- When the patient should have it. Retries and the channels that step in keep it, so that lateness can be told.
    due_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    -- In whose hands it is until it is due; free again when that sender was not seen for a while.
    sender_id text,
    -- It is being sent; free again after this.
    lease_until timestamptz,
    ended_at timestamptz,
    -- Why the last attempt failed or it was dropped: a code, never an address or a gateway's own words.
    last_error text,
    PRIMARY KEY (clinic_id, booking_ref, revision, kind, channel),
    CHECK ((state = 'due') = (ended_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE state = 'due';
CREATE INDEX notifications_ended ON notifications (ended_at) WHERE ended_at IS NOT NULL;

-- Senders that are alive. One that is not seen any more loses what it had in hand, nothing that it was sending.
CREATE UNLOGGED TABLE notification_senders (
    sender_id text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- How long before an appointment of this type its patient is reminded ("1h", "24h", "2d"); no row: as settings say.
CREATE TABLE reminder_leads (
    business_id text NOT NULL,
    service_type text NOT NULL,
    leads text[] NOT NULL,
    PRIMARY KEY (business_id, service_type),
    FOREIGN KEY (business_id, service_type) REFERENCES service_types (business_id, service_type)
);

-- Patients of an app who want no more messages by a channel.
CREATE TABLE unsubscribed (
    app_id text NOT NULL,
    patient_id text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, patient_id, channel)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON notifications, notification_senders TO waiting_room_notify;
GRANT SELECT ON appointments, businesses, clinics, providers, service_types, reminder_leads, clinic_counters, clinic_moves,
seat_claims, provider_records, busy_times, schema_migrations TO waiting_room_notify;
GRANT SELECT ON unsubscribed TO waiting_room_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON unsubscribed TO waiting_room_ingress;
GRANT SELECT ON notifications TO waiting_room_ingress, waiting_room_audit;
GRANT SELECT ON reminder_leads TO waiting_room_audit;

-- migrate:down
DROP TABLE unsubscribed, reminder_leads, notification_senders, notifications;
DROP OWNED BY waiting_room_notify;
