-- Purpose:       wills that wait for their delay, so that a restart or a crash neither loses nor doubles them.
-- Locks:         none on what exists; the table is new.
-- Expected time: milliseconds.
--
-- Without foreign keys, for the reasons of 0004: the row ends with the commit of what the will was published to.

CREATE TABLE delayed_wills (
    id         bigint PRIMARY KEY, -- given by the server
    session_id bigint NOT NULL, -- whose end makes it due, and whose return cancels it
    device_id  int, -- whose rights decide when it is due; null: a client of the open listener
    topic      text NOT NULL,
    payload    bytea NOT NULL,
    props      bytea NOT NULL, -- the MQTT 5 properties that are handed on, as they are in the packet
    qos        smallint NOT NULL,
    retain     boolean NOT NULL,
    due_at     timestamptz NOT NULL,
    expiry_us  bigint -- the message's life, from when it is published; null: for ever
);
