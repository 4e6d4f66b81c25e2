-- migrate:up

-- Every confirm worker looks each second whether one of them is to be asked; most clinics report nothing.
CREATE INDEX clinics_reporting ON clinics (clinic_id) WHERE reports_changes;

-- migrate:down
DROP INDEX clinics_reporting;
