/* Against a real PostgreSQL, see tests/unit/catalog/test_catalog.c. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth_bench.h"
#include "base/check.h"
#include "store/store.h"

struct world {
    struct db *db;
    struct conf conf;
    struct intern *metrics;
    struct catalog *catalog;
    struct auth *auth;
};

static void sql(struct world *w, const char *text)
{
    cr_assert_eq(db_script(w->db, text), ERR_OK, "%s: %s", text, db_error(w->db));
}

static void world_open(struct world *w)
{
    const char *url = getenv("SIGNALBOX_TEST_DATABASE");
    char schema[160];
    struct store_migration_status status;
    *w = (struct world){.conf = {.values_per_message_max = 1000, .metrics_max = 1000}};
    if (url == NULL) {
        cr_skip("SIGNALBOX_TEST_DATABASE is not set");
    }
    cr_assert_eq(db_open(url, "test_auth", &w->db), ERR_OK, "cannot connect to the test database");
    snprintf(schema, sizeof(schema), "CREATE SCHEMA auth_%d; SET search_path TO auth_%d", getpid(),
             getpid());
    sql(w, schema);
    cr_assert_eq(store_migrate(w->db, &status), ERR_OK, "%s", status.problem);
    sql(w, "INSERT INTO devices (name, type_id, labels) SELECT 'd' || g, 1,"
           " jsonb_build_object('site', 's' || g) FROM generate_series(1, 3) g");
    w->metrics = intern_new(1000);
    w->catalog = catalog_new(&w->conf, w->metrics);
    w->auth = auth_new(&w->conf, w->catalog);
    cr_assert_eq(catalog_load(w->catalog, w->db), ERR_OK);
    cr_assert_eq(auth_load(w->auth, w->db), ERR_OK);
}

static void world_close(struct world *w)
{
    char schema[64];
    snprintf(schema, sizeof(schema), "DROP SCHEMA auth_%d CASCADE", getpid());
    sql(w, schema);
    auth_free(w->auth);
    catalog_free(w->catalog);
    intern_free(w->metrics);
    db_close(w->db);
}

static bool comes_in(struct world *w, const char *token, const char *device)
{
    struct auth_identity who;
    if (auth_token(w->auth, view_str(token), &who) != ERR_OK) {
        return false;
    }
    cr_expect_str_eq(who.device->name, device);
    auth_identity_fini(&who);
    return true;
}

static int32_t device_id(struct world *w, const char *name)
{
    struct device *d = catalog_device(w->catalog, view_str(name));
    int32_t id = d->id;
    device_drop(d);
    return id;
}

Test(auth_load, credentials_follow_their_rows)
{
    struct world w;
    world_open(&w);
    cr_expect_not(comes_in(&w, "token-one", "d1"));
    sql(&w, "INSERT INTO credentials (device_id, kind, hash, not_after)"
            " SELECT id, 'token', sha256('token-one'), NULL::timestamptz FROM devices WHERE name = "
            "'d1' UNION ALL"
            " SELECT id, 'token', sha256('token-two'), now() + '1 day' FROM devices WHERE name = "
            "'d1' UNION ALL"
            " SELECT id, 'token', sha256('token-old'), now() - '1 s'::interval FROM devices WHERE "
            "name = 'd1' UNION ALL"
            " SELECT id, 'token', sha256('token-three'), NULL FROM devices WHERE name = 'd2'");
    cr_expect_not(comes_in(&w, "token-one", "d1"), "before the refresh");
    cr_assert_eq(auth_refresh_device(w.auth, w.db, device_id(&w, "d1")), ERR_OK);
    cr_expect(comes_in(&w, "token-one", "d1"));
    cr_expect(comes_in(&w, "token-two", "d1"), "several at once, for rotation");
    cr_expect_not(comes_in(&w, "token-old", "d1"));
    cr_expect_not(comes_in(&w, "token-three", "d2"), "another device's rows were not asked for");
    cr_assert_eq(auth_load(w.auth, w.db), ERR_OK);
    cr_expect(comes_in(&w, "token-three", "d2"));

    sql(&w, "UPDATE credentials SET revoked_at = now() WHERE hash = sha256('token-one')");
    cr_assert_eq(auth_refresh_device(w.auth, w.db, device_id(&w, "d1")), ERR_OK);
    cr_expect_not(comes_in(&w, "token-one", "d1"));
    cr_expect(comes_in(&w, "token-two", "d1"));

    sql(&w, "UPDATE credentials SET revoked_at = now() WHERE hash = sha256('token-three')");
    cr_assert_eq(auth_load(w.auth, w.db), ERR_OK);
    cr_expect_not(comes_in(&w, "token-three", "d2"), "loading again forgets what is gone");
    cr_expect(comes_in(&w, "token-two", "d1"));

    int32_t gone = device_id(&w, "d1");
    sql(&w, "DELETE FROM devices WHERE name = 'd1'");
    cr_expect(comes_in(&w, "token-two", "d1"), "until somebody says so");
    cr_assert_eq(catalog_refresh_device(w.catalog, w.db, "d1"), ERR_OK);
    cr_expect_not(comes_in(&w, "token-two", "d1"));
    cr_assert_eq(auth_refresh_device(w.auth, w.db, gone), ERR_OK);
    cr_expect_not(comes_in(&w, "token-two", "d1"));
    world_close(&w);
}

Test(auth_load, api_tokens_have_scopes_and_see_what_their_selector_selects)
{
    struct world w;
    struct auth_bearer b;
    world_open(&w);
    sql(&w, "INSERT INTO api_tokens (name, hash, scopes, selector, expires_at) VALUES"
            " ('all', sha256('all'), '{admin}', '', NULL),"
            " ('one', sha256('one'), '{devices:read,commands:write,bogus}', 'site=s1', now() + '1 "
            "h'::interval),"
            " ('old', sha256('old'), '{admin}', '', now() - '1 s'::interval),"
            " ('bad', sha256('bad'), '{admin}', 'site=(', NULL)");
    cr_assert_eq(auth_refresh_api_tokens(w.auth, w.db), ERR_OK);
    struct device *d1 = catalog_device(w.catalog, VIEW("d1"));
    struct device *d2 = catalog_device(w.catalog, VIEW("d2"));
    cr_assert_eq(auth_bearer(w.auth, VIEW("all"), &b), ERR_OK);
    cr_expect_str_eq(b.name, "all");
    cr_expect_eq(b.scopes, AUTH_ADMIN);
    cr_expect(auth_bearer_sees(w.auth, &b, d1) && auth_bearer_sees(w.auth, &b, d2));
    cr_assert_eq(auth_bearer(w.auth, VIEW("one"), &b), ERR_OK);
    cr_expect_eq(b.scopes, AUTH_DEVICES_READ | AUTH_COMMANDS_WRITE);
    cr_expect(auth_bearer_sees(w.auth, &b, d1));
    cr_expect_not(auth_bearer_sees(w.auth, &b, d2));
    static const char *const refused[] = {"old", "bad", "none", "", "al"};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct auth_bearer untouched = {.token_id = -1};
        cr_expect_eq(auth_bearer(w.auth, view_str(refused[i]), &untouched), ERR_DENIED, "%s",
                     refused[i]);
        cr_expect_eq(untouched.token_id, -1);
    }
    sql(&w, "UPDATE api_tokens SET revoked_at = now() WHERE name = 'one'");
    cr_assert_eq(auth_refresh_api_tokens(w.auth, w.db), ERR_OK);
    cr_expect(auth_bearer_sees(w.auth, &b, d1), "a request under way goes on");
    cr_expect_eq(auth_bearer(w.auth, VIEW("one"), &b), ERR_DENIED);
    device_drop(d1);
    device_drop(d2);
    world_close(&w);
}
