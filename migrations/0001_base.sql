-- Purpose:       the whole first schema: devices, credentials, samples, rules, alerts, commands, and the server's own state.
-- Locks:         none that matter; all objects are new.
-- Expected time: under a second.

CREATE TABLE store_meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE store_meta IS 'facts fixed when the database was set up, such as partition_boundary';

-- One row per writer. The row is locked by every batch, so a batch whose outcome is unknown is settled by reading it:
-- SELECT … FOR UPDATE waits for the old transaction, and seq tells whether it committed.
CREATE TABLE writer_lanes (
    lane  int PRIMARY KEY,
    seq   bigint NOT NULL,
    owner text NOT NULL
) WITH (fillfactor = 10);
INSERT INTO writer_lanes VALUES (0, 0, '');

-- Opens a batch. Fails when another server has taken the lane over, so that two servers can never write side by side.
CREATE FUNCTION writer_step(the_lane int, the_seq bigint, the_owner text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE writer_lanes SET seq = the_seq WHERE lane = the_lane AND owner = the_owner;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another server has taken over' USING ERRCODE = '55000';
    END IF;
END $$;

CREATE TABLE device_types (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    definition    jsonb NOT NULL, -- metrics, commands, topics, as the API takes them
    any_metric    boolean NOT NULL DEFAULT false,
    auto_register boolean NOT NULL DEFAULT false,
    version       int NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
INSERT INTO device_types (name, definition, any_metric, auto_register)
VALUES ('generic', '{"metrics":{},"commands":[],"topics":{"publish":[],"subscribe":[]}}', true, true);

CREATE TABLE devices (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    type_id    int NOT NULL REFERENCES device_types (id),
    labels     jsonb NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}', -- set by the operator; rules read them with attr()
    reported   jsonb NOT NULL DEFAULT '{}', -- what the device says of itself
    gateway_id int REFERENCES devices (id) ON DELETE SET NULL,
    enabled    boolean NOT NULL DEFAULT true,
    version    int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX devices_labels ON devices USING gin (labels jsonb_path_ops);
CREATE INDEX devices_type ON devices (type_id);
CREATE INDEX devices_gateway ON devices (gateway_id) WHERE gateway_id IS NOT NULL;

CREATE TABLE credentials (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   int NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('token', 'certificate')),
    hash        bytea NOT NULL UNIQUE, -- SHA-256 of the token, or of the certificate's DER form
    serial      text,                  -- of a certificate, hexadecimal
    not_before  timestamptz NOT NULL DEFAULT now(),
    not_after   timestamptz,
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX credentials_device ON credentials (device_id);

CREATE TABLE api_tokens (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    hash       bytea NOT NULL UNIQUE, -- SHA-256
    scopes     text[] NOT NULL,
    selector   text NOT NULL DEFAULT '', -- devices the token may see; empty: all
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE metrics (
    id   int PRIMARY KEY, -- given by the server, dense from 1
    name text NOT NULL UNIQUE
);

-- The set of metrics of a sample, which devices repeat with every message: one number instead of an array per row.
CREATE TABLE shapes (
    id      int PRIMARY KEY, -- given by the server, dense from 1
    metrics int[] NOT NULL UNIQUE
);

CREATE TABLE samples (
    ts          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    device_id   int NOT NULL,
    digest      int NOT NULL,
    flags       int NOT NULL,   -- 1 late, 2 clock, 4 ts given by the server; the packet id of such a sample << 16
    shape       int,            -- which metrics; null: no numeric value
    value       float8,         -- the value when the shape has one metric
    values      float8[],       -- the values in the order of the shape when it has more
    extra       jsonb,          -- texts and booleans by metric name
    PRIMARY KEY (device_id, ts, digest)
) PARTITION BY RANGE (ts);
ALTER TABLE samples ALTER COLUMN values SET STORAGE MAIN;
CREATE TABLE samples_default PARTITION OF samples DEFAULT;
COMMENT ON TABLE samples_default IS 'samples whose day has no partition yet: those flagged clock';

CREATE VIEW readings AS
SELECT s.device_id, s.ts, s.digest, sh.metrics,
       CASE WHEN s.values IS NULL AND s.value IS NOT NULL THEN ARRAY[s.value] ELSE s.values END AS values,
       s.extra, s.received_at, s.flags & 65535 AS flags
FROM samples s LEFT JOIN shapes sh ON sh.id = s.shape;
COMMENT ON VIEW readings IS 'one row per sample: all values of one device at one instant';

CREATE VIEW reading_values AS
SELECT d.name AS device, r.device_id, m.name AS metric, r.ts, v.value, r.received_at, r.flags
FROM readings r
JOIN devices d ON d.id = r.device_id
CROSS JOIN LATERAL unnest(r.metrics, r.values) AS v (metric, value)
JOIN metrics m ON m.id = v.metric;
COMMENT ON VIEW reading_values IS 'one row per numeric value, for SQL and Grafana users';

-- The newest value of each metric by event time. Written at most every `state_flush` for a device; samples newer than
-- device_state.watermark are merged in by the query.
CREATE TABLE latest (
    device_id int NOT NULL,
    metric    int NOT NULL,
    ts        timestamptz NOT NULL,
    value     float8,
    extra     jsonb, -- a text or boolean value
    PRIMARY KEY (device_id, metric)
) WITH (fillfactor = 60);

-- What the core needs to go on after a restart: the device's newest event time and its rules' state.
CREATE TABLE device_state (
    device_id    int PRIMARY KEY,
    watermark    timestamptz,
    last_seen_at timestamptz,
    rule_state   bytea
) WITH (fillfactor = 60);

CREATE TABLE rules (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    version    int NOT NULL DEFAULT 1,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX rules_name ON rules (name) WHERE deleted_at IS NULL;

CREATE TABLE rule_versions (
    rule_id    int NOT NULL REFERENCES rules (id),
    version    int NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT '',
    PRIMARY KEY (rule_id, version)
);

CREATE TABLE alerts (
    id              bigint PRIMARY KEY, -- given by the server
    rule_id         int NOT NULL,
    rule            text NOT NULL,
    device_id       int NOT NULL,
    severity        text NOT NULL,
    state           text NOT NULL CHECK (state IN ('firing', 'resolved', 'retracted')),
    since           timestamptz NOT NULL, -- event times, all three
    fired_at        timestamptz NOT NULL,
    resolved_at     timestamptz,
    value           float8,
    summary         text NOT NULL,
    explain         jsonb,
    acknowledged_by text,
    acknowledged_at timestamptz,
    recorded_at     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (rule_id, device_id) WHERE state = 'firing';
CREATE INDEX alerts_device ON alerts (device_id, fired_at);
CREATE INDEX alerts_fired ON alerts (fired_at);

CREATE TABLE alert_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id    bigint NOT NULL,
    kind        text NOT NULL, -- firing, resolved, corrected, retracted, acknowledged, comment
    ts          timestamptz NOT NULL, -- event time
    actor       text NOT NULL DEFAULT '',
    detail      jsonb,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_events_alert ON alert_events (alert_id);

CREATE TABLE commands (
    id              bigint PRIMARY KEY, -- given by the server
    device_id       int NOT NULL,
    method          text NOT NULL,
    params          jsonb NOT NULL,
    state           text NOT NULL,
    result          jsonb,
    origin          text NOT NULL, -- api:<token name>, rule:<name>
    alert_id        bigint,
    attempt         int NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    idempotency_key text
);
CREATE UNIQUE INDEX commands_idempotency ON commands (device_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX commands_open ON commands (device_id, id) WHERE state IN ('queued', 'sent', 'delivered');
CREATE INDEX commands_device ON commands (device_id, id);

CREATE TABLE command_history (
    command_id bigint NOT NULL,
    seq        int NOT NULL, -- from 1
    state      text NOT NULL,
    ts         timestamptz NOT NULL,
    cause      text NOT NULL DEFAULT '',
    PRIMARY KEY (command_id, seq)
);

CREATE TABLE work_orders (
    id         bigint PRIMARY KEY, -- given by the server
    rule_id    int NOT NULL,
    rule       text NOT NULL,
    device_id  int NOT NULL,
    alert_id   bigint NOT NULL,
    title      text NOT NULL,
    state      text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'cancelled')),
    raises     int NOT NULL DEFAULT 1, -- alerts that asked for it while it was open
    opened_at  timestamptz NOT NULL,   -- event time of the alert
    closed_at  timestamptz,
    closed_by  text
);
CREATE UNIQUE INDEX work_orders_one_open ON work_orders (rule_id, device_id, title) WHERE state = 'open';

-- What happened, in order: the event stream's memory, and the alert log's outbox.
CREATE TABLE events (
    id        bigint PRIMARY KEY, -- given by the server in commit order
    ts        timestamptz NOT NULL,
    kind      text NOT NULL, -- alert.firing, alert.resolved, command.sent, work_order.due, device.online, …
    device_id int,
    body      jsonb NOT NULL
);
CREATE INDEX events_ts ON events USING brin (ts);

CREATE TABLE rejected_messages (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    device      text NOT NULL,
    topic       text NOT NULL,
    reason      text NOT NULL, -- the error's words
    pointer     text NOT NULL DEFAULT '', -- the field, as a JSON pointer
    detail      text NOT NULL DEFAULT '',
    payload     bytea NOT NULL, -- the first 4 KiB
    size        int NOT NULL
);
CREATE INDEX rejected_messages_device ON rejected_messages (device, id);

CREATE TABLE sessions (
    device_id  int NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    client_id  text NOT NULL,
    filters    jsonb NOT NULL DEFAULT '[]', -- [{"filter","options","identifier"}]
    expiry_s   bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, client_id)
);

CREATE TABLE audit_log (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    action text NOT NULL, -- device.create, rule.update, credential.revoke, …
    object text NOT NULL,
    detail jsonb
);
