-- migrate:up

-- Before ingress says at once that a time is taken it looks whether all that was accepted before has been held.
GRANT SELECT ON consumed_offsets TO waiting_room_ingress;

-- migrate:down
REVOKE SELECT ON consumed_offsets FROM waiting_room_ingress;
