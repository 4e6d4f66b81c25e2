-- wait_longer --
-- Of these bookings: what waits for a system that is away is given the time of an outage. Under their clinics' locks.
UPDATE appointments AS a
SET hold_until = a.decide_by
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
WHERE a.clinic_id = n.clinic_id AND a.booking_ref = n.booking_ref AND a.hold_until < a.decide_by;
