-- migrate:up

-- One role a process, with what it needs and no more. They log in only where a password is set for them.
DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['ingress', 'hold', 'confirm', 'relay', 'webhooks', 'sweep', 'audit'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waiting_room_' || role) THEN
            EXECUTE format('CREATE ROLE %I', 'waiting_room_' || role);
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON appointments, appointment_events, booking_refs, clinic_counters, clinics, providers, service_types,
seat_claims TO waiting_room_ingress;

GRANT SELECT ON clinics, providers, service_types, businesses TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep;

GRANT SELECT, UPDATE ON clinic_counters TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep;
GRANT SELECT, INSERT ON appointment_events TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep;

GRANT SELECT, INSERT ON booking_refs TO waiting_room_hold;
GRANT SELECT, INSERT, UPDATE ON appointments, consumed_offsets TO waiting_room_hold;
GRANT SELECT, INSERT, DELETE ON seat_claims TO waiting_room_hold;
GRANT SELECT ON call_attempts TO waiting_room_hold;

GRANT SELECT, UPDATE ON appointments TO waiting_room_confirm, waiting_room_sweep;
GRANT SELECT, DELETE ON seat_claims TO waiting_room_confirm, waiting_room_sweep;
GRANT SELECT, INSERT, UPDATE ON call_attempts TO waiting_room_confirm;
GRANT SELECT ON call_attempts TO waiting_room_sweep;

-- Workers wait for the schema they were written for.
GRANT SELECT ON schema_migrations TO waiting_room_hold, waiting_room_confirm, waiting_room_relay, waiting_room_webhooks,
waiting_room_sweep;

GRANT SELECT ON appointment_events, clinic_counters, clinics TO waiting_room_relay;
GRANT SELECT, INSERT, UPDATE ON relay_cursors TO waiting_room_relay;
GRANT SELECT, DELETE ON directory_outbox TO waiting_room_relay;

-- An endpoint that answers 410 is switched off.
GRANT SELECT, UPDATE (active) ON webhook_endpoints TO waiting_room_webhooks;
GRANT SELECT, INSERT, UPDATE ON webhook_deliveries TO waiting_room_webhooks;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO waiting_room_audit;
REVOKE SELECT ON access_keys FROM waiting_room_audit;

-- migrate:down
DROP OWNED BY waiting_room_ingress, waiting_room_hold, waiting_room_confirm, waiting_room_relay,
waiting_room_webhooks, waiting_room_sweep, waiting_room_audit;
