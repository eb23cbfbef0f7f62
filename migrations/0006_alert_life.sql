-- Purpose:       the life of alerts beside the rules' say (assigned, shelved, silenced), and the outbox of notifications.
-- Locks:         ACCESS EXCLUSIVE on alerts for an instant (columns without default); the other tables are new.
-- Expected time: under a second.

ALTER TABLE alerts
    ADD COLUMN assigned_to   text,
    ADD COLUMN shelved_by    text,
    ADD COLUMN shelved_until timestamptz;

-- A statement that nobody is to be told of some alerts: now, in a window that comes again, or while another alert is open.
CREATE TABLE silences (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    definition jsonb NOT NULL,       -- matchers, window and "while", as the API takes them
    owner      text NOT NULL,
    comment    text NOT NULL,
    starts_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL, -- mandatory: nothing is silenced for ever
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_by   text,                 -- who ended it before its time
    CHECK (expires_at >= starts_at)
);
CREATE INDEX silences_expires ON silences (expires_at);

CREATE TABLE channels (
    name       text PRIMARY KEY,
    definition jsonb NOT NULL, -- without the secret
    secret     text,           -- HMAC key or password; goes in and never comes out
    version    int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each alert transition and channel, written in the transaction of the transition. Whether it is sent is
-- judged when the channel's window ends; what is not sent keeps its row, with the reason.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- receivers drop repeats by it
    key        text NOT NULL UNIQUE, -- alert/17/firing/ops: nothing is told twice on a channel
    channel    text NOT NULL,
    event      text NOT NULL,        -- firing, resolved, retracted, escalated; digest, test
    alert_id   bigint,               -- null: a digest, a test
    device_id  int,
    rule_id    int,
    state      text NOT NULL DEFAULT 'queued'
               CHECK (state IN ('queued', 'sending', 'sent', 'digested', 'failed', 'suppressed')),
    judged_at  timestamptz,          -- null: not decided yet
    reason     text,                 -- of a suppressed one: silenced, shelved, inhibited, …
    detail     text,                 -- the reason, or the last error, in words
    digest_id  bigint,               -- the row of the digest that tells it
    attempts   int NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT now(),
    body       jsonb NOT NULL,       -- the alert at its transition
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);
CREATE INDEX outbox_open ON outbox (channel, id) WHERE state IN ('queued', 'sending');
CREATE INDEX outbox_alert ON outbox (alert_id, channel);
CREATE INDEX outbox_told ON outbox (channel, judged_at) WHERE state IN ('queued', 'sending', 'sent', 'failed');
CREATE INDEX outbox_digest ON outbox (digest_id) WHERE digest_id IS NOT NULL;
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL;

-- Every attempt.
CREATE TABLE outbox_history (
    outbox_id bigint NOT NULL,
    attempt   int NOT NULL,
    ts        timestamptz NOT NULL DEFAULT now(),
    outcome   text NOT NULL, -- sent, retry, failed
    detail    text NOT NULL DEFAULT '',
    PRIMARY KEY (outbox_id, attempt)
);
