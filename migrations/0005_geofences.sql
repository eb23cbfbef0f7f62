-- Purpose:       geofences, and which rules name them.
-- Locks:         a moment's SHARE ROW EXCLUSIVE on rules for the foreign key; the tables are new.
-- Expected time: under a second.

CREATE TABLE geofences (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    version    int NOT NULL DEFAULT 1,
    definition jsonb NOT NULL, -- as the API takes it, with its name
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The geofences that the newest version of a rule names. A geofence that stands here cannot be deleted; a rule that is deleted
-- names none.
CREATE TABLE rule_geofences (
    rule_id     int NOT NULL REFERENCES rules (id) ON DELETE CASCADE,
    geofence_id int NOT NULL REFERENCES geofences (id),
    PRIMARY KEY (rule_id, geofence_id)
);
CREATE INDEX rule_geofences_geofence ON rule_geofences (geofence_id);
