-- Purpose:       messages between devices: sessions with an identity of their own, what waits for them, retained messages.
-- Locks:         ACCESS EXCLUSIVE on sessions, which only a running server reads; the other tables are new.
-- Expected time: under a second; a row of sessions for each device at most is copied.
--
-- There are no foreign keys between these tables: a row of session_queue would lock its session's row, and a device that is
-- deleted while a batch is under way would make the whole statement fail. The server deletes what goes together, and at its
-- start whatever a crash left without an owner.

ALTER TABLE sessions RENAME TO sessions_0001;
ALTER TABLE sessions_0001 RENAME CONSTRAINT sessions_pkey TO sessions_0001_pkey;

CREATE TABLE sessions (
    id          bigint PRIMARY KEY, -- given by the server; a clean start is another session
    device_id   int REFERENCES devices (id) ON DELETE CASCADE, -- null: a client of the open listener
    client_id   text NOT NULL,
    client_hash bytea NOT NULL, -- SHA-256: client identifiers may be longer than an index takes
    filters     jsonb NOT NULL DEFAULT '{}', -- filter: [options, identifier]
    expiry_s    bigint NOT NULL,
    closed_at   timestamptz, -- when its connection ended; null: connected, or the server died
    UNIQUE NULLS NOT DISTINCT (device_id, client_hash)
);
INSERT INTO sessions (id, device_id, client_id, client_hash, filters, expiry_s, closed_at)
SELECT row_number() OVER (ORDER BY s.device_id, s.client_id), s.device_id, s.client_id, sha256(convert_to(s.client_id, 'UTF8')),
       coalesce((SELECT jsonb_object_agg(f.filter, jsonb_build_array(f.options, f.identifier))
                 FROM jsonb_to_recordset(s.filters) AS f (filter text, options int, identifier bigint)), '{}'),
       s.expiry_s, s.updated_at
FROM sessions_0001 s;
DROP TABLE sessions_0001;

-- One row for a message, however many sessions it waits for; it goes with its last row in session_queue.
CREATE TABLE messages (
    id           bigint PRIMARY KEY, -- given by the server
    topic        text NOT NULL,
    payload      bytea NOT NULL,
    props        bytea NOT NULL, -- the MQTT 5 properties that are handed on, as they are in the packet
    qos          smallint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz
);

CREATE TABLE session_queue (
    session_id  bigint NOT NULL,
    seq         bigint NOT NULL, -- from 1; the packet identifier follows from it
    message_id  bigint NOT NULL,
    qos         smallint NOT NULL,
    retain      boolean NOT NULL,
    released    boolean NOT NULL DEFAULT false, -- QoS 2: the client has it, PUBREL follows
    identifiers int[] NOT NULL,
    PRIMARY KEY (session_id, seq)
) WITH (fillfactor = 80);

-- QoS 2 publishes that were taken and not released: sent again, they are not taken again.
CREATE TABLE session_received (
    session_id bigint NOT NULL,
    packet_id  int NOT NULL,
    PRIMARY KEY (session_id, packet_id)
);

CREATE TABLE retained (
    topic_hash   bytea PRIMARY KEY, -- SHA-256 of the topic, which may be longer than an index takes
    topic        text NOT NULL,
    payload      bytea NOT NULL,
    props        bytea NOT NULL,
    qos          smallint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz
) WITH (fillfactor = 80);
