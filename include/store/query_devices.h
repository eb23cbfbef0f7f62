/*
 * query_devices: devices and their credentials. See query_types.h for what all queries have in
 * common.
 */
#pragma once

#include "store/db.h"

struct store_device_filter {
    const char *type;    /* NULL: any; as all of these */
    const char *labels;  /* JSON object of texts that the labels must have */
    const char *gateway; /* name */
    const char *prefix;  /* of the name */
    const char *ids;     /* PostgreSQL array */
};

/* Rows: JSON, device id, 0, name. */
NODISCARD enum err store_device_list(struct db *db, const struct store_device_filter *f,
                                     const char *after, int64_t limit, struct db_result **ret_rows);
/* One row: JSON, version, device id. */
NODISCARD enum err store_device_get(struct db *db, const char *name, struct db_result **ret_row);

struct store_device {
    const char *name;
    const char *type;       /* NULL: as it is; for updates, as all of these */
    const char *labels;     /* JSON object */
    const char *attributes; /* JSON object */
    bool set_gateway;
    const char *gateway; /* NULL: none */
    const char *enabled; /* "t", "f" */
    bool merge; /* labels and attributes are merged into those that exist; null removes one */
};

/* ERR_NOT_FOUND: the type is gone. */
NODISCARD enum err store_device_create(struct db *db, const struct store_device *d,
                                       const char *actor, struct db_result **ret_row);
/* version 0: any. ERR_NOT_FOUND: no such device, or it has another version. */
NODISCARD enum err store_device_update(struct db *db, const struct store_device *d, int64_t version,
                                       const char *actor, struct db_result **ret_row);
/* Its readings stay until retention drops them. */
NODISCARD enum err store_device_delete(struct db *db, const char *name, int64_t version,
                                       const char *actor);

/* rows: JSON array of {"line","name","type","labels","attributes","enabled","hash"}; a name comes
 * once. Rows: line, created. A line that is missing has a token of another device, or a type that
 * is gone. */
NODISCARD enum err store_device_import(struct db *db, const char *rows,
                                       struct db_result **ret_rows);
/* rows: JSON array of {"name","gateway"}. */
NODISCARD enum err store_device_import_gateways(struct db *db, const char *rows);
NODISCARD enum err store_audit(struct db *db, const char *actor, const char *action,
                               const char *object, const char *detail);

/* Rows: JSON. */
NODISCARD enum err store_credential_list(struct db *db, int32_t device_id,
                                         struct db_result **ret_rows);
struct store_credential {
    int32_t device_id;
    const char *device;
    const char *kind;
    struct view hash;
    const char *serial;    /* NULL: none */
    int64_t not_before_us; /* CLOCK_NONE: now */
    int64_t not_after_us;  /* CLOCK_NONE: never */
};
/* ERR_EXISTS: the token belongs to somebody already. */
NODISCARD enum err store_credential_create(struct db *db, const struct store_credential *c,
                                           const char *actor, int64_t *ret_id);
/* ERR_NOT_FOUND: no such credential of that device, or it is revoked already. */
NODISCARD enum err store_credential_revoke(struct db *db, int32_t device_id, const char *device,
                                           int64_t id, const char *actor);
