-- migrate:up
-- What a clinic says of a visit ends a wish for another time: who is there is not moved.
GRANT UPDATE (ended_at, outcome, reason) ON reschedules TO waiting_room_ingress;

-- migrate:down
REVOKE UPDATE (ended_at, outcome, reason) ON reschedules FROM waiting_room_ingress;
