-- Severities that go up and down, rules that only watch, and devices whose silence means something.
ALTER TABLE alerts
    ADD COLUMN severity_at  timestamptz, -- event time; null: since fired_at
    ADD COLUMN worst        text,        -- the worst severity so far; null: it never changed
    ADD COLUMN shadow       boolean NOT NULL DEFAULT false, -- of a rule in shadow mode: nothing is done about it
    ADD COLUMN rule_version int;

-- Devices for whose rules time alone does something: loaded when the server starts.
CREATE TABLE device_timers (
    device_id int PRIMARY KEY
);
