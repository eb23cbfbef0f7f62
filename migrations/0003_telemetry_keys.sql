-- Readings that were posted with an Idempotency-Key: posted again, they get the server's time of their first sending.
CREATE TABLE telemetry_keys (
    device_id   int NOT NULL,
    key         text NOT NULL,
    received_at timestamptz NOT NULL,
    content     bigint NOT NULL, -- XXH3 of the body
    PRIMARY KEY (device_id, key)
);
