#include <stdio.h>

#include "base/clock.h"
#include "base/map.h"
#include "store/writer_internal.h"

/*
 * The statements of a batch are few and always the same, and most are so small that PostgreSQL
 * takes as long to parse and plan them as to carry them out. So each is prepared once for each
 * connection, before the transaction in which it is first needed. One that cannot be prepared goes
 * as text and says then, in its place among the others, what is wrong with it.
 *
 * A statement's name is the hash of its text.
 */

enum { NAME_SIZE = 20 };

static bool is_prepared(const struct db *db, uint64_t key)
{
    for (uint32_t i = 0; i < db->prepared_count; i++) {
        if (db->prepared[i] == key) {
            return true;
        }
    }
    return false;
}

static const char *name_of(uint64_t key, char ret_name[static NAME_SIZE])
{
    (void)snprintf(ret_name, NAME_SIZE, "s%016llx", (unsigned long long)key);
    return ret_name;
}

enum err prepared_make(struct db *db, const char *sql)
{
    char name[NAME_SIZE];
    uint64_t key = map_hash(view_str(sql));
    if (db->prepared_count == DB_PREPARED_MAX || is_prepared(db, key)) {
        return ERR_OK;
    }
    if (PQsendPrepare(db->pg, name_of(key, name), sql, 0, NULL) != 1) {
        return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
    }
    bool made = false;
    for (;;) {
        PGresult *r = NULL;
        enum err e = db_next_result(db, clock_mono_us() + db->timeout_us, &r);
        if (e != ERR_OK) {
            return e;
        }
        if (r == NULL) {
            break;
        }
        made = PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
    }
    if (made) {
        db->prepared[db->prepared_count++] = key;
    }
    return ERR_OK;
}

bool prepared_send(struct db *db, const char *sql, const struct prepared_values *v)
{
    char name[NAME_SIZE];
    uint64_t key = map_hash(view_str(sql));
    if (!is_prepared(db, key)) {
        return PQsendQueryParams(db->pg, sql, v->count, NULL, v->values, v->lengths, v->formats,
                                 0) == 1;
    }
    return PQsendQueryPrepared(db->pg, name_of(key, name), v->count, v->values, v->lengths,
                               v->formats, 0) == 1;
}
