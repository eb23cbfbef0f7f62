-- Purpose:       maintenance plans, what they counted, work orders that people work on; automation's overrides and deferred commands.
-- Locks:         ACCESS EXCLUSIVE on work_orders and commands, for an instant and the time to index the open orders.
-- Expected time: under a second; the index on commands.created_at reads the table once (BRIN).

CREATE TABLE maintenance_plans (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    version    int NOT NULL DEFAULT 1,
    definition jsonb NOT NULL, -- as the API takes it
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX maintenance_plans_name ON maintenance_plans (name) WHERE deleted_at IS NULL;

-- A plan on a device. `version` is raised by every change, so that who computed from an older one starts again.
CREATE TABLE maintenance_state (
    plan_id      int NOT NULL REFERENCES maintenance_plans (id),
    device_id    int NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    since        timestamptz NOT NULL, -- counting began: the last service, or the plan's beginning
    after_at     timestamptz NOT NULL, -- a calendar's next date lies after this
    last_done_at timestamptz,
    newest_at    timestamptz,          -- newest sample that was seen
    status       text NOT NULL DEFAULT 'ok' CHECK (status IN ('ok', 'due_soon', 'due', 'overdue')),
    due_at       timestamptz,          -- reached, or forecast; null: nobody can tell
    reached      boolean NOT NULL DEFAULT false,
    basis        jsonb,                -- which trigger, and what the forecast rests on
    order_id     bigint,               -- the work order that was opened since `since`
    plan_version int NOT NULL DEFAULT 0, -- of the plan when it was computed
    version      int NOT NULL DEFAULT 1,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (plan_id, device_id)
) WITH (fillfactor = 70);

-- What a trigger counted in the samples with `since` <= ts < settled_to, which no later sample can change: see
-- server/maintenance/README.md. `value` adds what came since, in the unit of the plan.
CREATE TABLE maintenance_counts (
    plan_id    int NOT NULL,
    device_id  int NOT NULL,
    trigger    text NOT NULL, -- "run_hours rpm > 100"
    since      timestamptz NOT NULL, -- of the state it was counted for: after a service the row is void
    settled_to timestamptz NOT NULL,
    total      float8 NOT NULL, -- run hours in microseconds
    prev_at    timestamptz,
    prev       float8 NOT NULL,
    reached_at timestamptz,
    value      float8 NOT NULL,
    PRIMARY KEY (plan_id, device_id, trigger),
    FOREIGN KEY (plan_id, device_id) REFERENCES maintenance_state ON DELETE CASCADE
) WITH (fillfactor = 70);

-- Each service that was done: the counts that it ended.
CREATE TABLE maintenance_services (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id       int NOT NULL,
    device_id     int NOT NULL,
    work_order_id bigint NOT NULL,
    since         timestamptz NOT NULL,
    done_at       timestamptz NOT NULL,
    done_by       text NOT NULL,
    counts        jsonb NOT NULL, -- by trigger, in the units of the plan
    reading       jsonb
);
CREATE INDEX maintenance_services_device ON maintenance_services (plan_id, device_id, done_at);

-- Orders come from rules, from plans and from people now.
ALTER TABLE work_orders
    ALTER COLUMN rule_id DROP NOT NULL,
    ALTER COLUMN rule DROP NOT NULL,
    ALTER COLUMN alert_id DROP NOT NULL,
    ADD COLUMN plan_id     int,
    ADD COLUMN plan        text,
    ADD COLUMN created_by  text, -- null: a rule or a plan
    ADD COLUMN due_at      timestamptz,
    ADD COLUMN assigned_to text,
    ADD COLUMN started_at  timestamptz,
    ADD COLUMN reading     jsonb, -- at done
    ADD COLUMN notes       text,
    DROP CONSTRAINT work_orders_state_check,
    ADD CONSTRAINT work_orders_state_check CHECK (state IN ('open', 'assigned', 'in_progress', 'done', 'cancelled'));
DROP INDEX work_orders_one_open;
CREATE UNIQUE INDEX work_orders_one_open ON work_orders (rule_id, device_id, title)
    WHERE state IN ('open', 'assigned', 'in_progress');
CREATE UNIQUE INDEX work_orders_one_planned ON work_orders (plan_id, device_id)
    WHERE state IN ('open', 'assigned', 'in_progress');
CREATE INDEX work_orders_device ON work_orders (device_id, id);

CREATE TABLE work_order_history (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    work_order_id bigint NOT NULL,
    state         text NOT NULL,
    ts            timestamptz NOT NULL,
    actor         text NOT NULL,
    detail        jsonb
);
CREATE INDEX work_order_history_order ON work_order_history (work_order_id, id);

-- Events of other transactions than the core's. The core gives them their number, stores them among `events` and deletes
-- them here, all in one transaction: each is announced once, whatever ends in between.
CREATE TABLE pending_events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts        timestamptz NOT NULL,
    kind      text NOT NULL,
    level     text NOT NULL DEFAULT 'info',
    device_id int NOT NULL DEFAULT 0,
    body      jsonb NOT NULL
);

-- While one holds, rules send no commands of the method to the device; '' stands for all methods.
CREATE TABLE automation_overrides (
    device_id  int NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    method     text NOT NULL,
    until      timestamptz NOT NULL,
    actor      text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, method)
);

-- A command that waits until its target has kept its state long enough. The server reads back which commands rules sent
-- within the last day.
ALTER TABLE commands
    ADD COLUMN not_before timestamptz,
    ADD COLUMN hold       text; -- methods that take its place while it waits
CREATE INDEX commands_created ON commands USING brin (created_at);
