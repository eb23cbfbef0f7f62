/* API tokens, directly in the database: the first one must come from somewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/cli.h"
#include "app/cli_server.h"
#include "app/cli_table.h"
#include "app/commands.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/ident.h"

/* --scope and --scopes as a PostgreSQL array; words are checked, so nothing needs quoting but the
 * colon's text. */
static bool take_scopes(const struct cli_call *c, struct buf *out)
{
    static const char *const names[] = {"scope", "scopes"};
    int count = 0;
    buf_put_str(out, "{");
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        int at = 0;
        for (const char *list = NULL; (list = cli_next_value(c, names[k], &at)) != NULL;) {
            while (*list != '\0') {
                size_t len = strcspn(list, ", ");
                if (len > 0 && auth_scope_parse(view_of(list, len)) == 0) {
                    (void)cli_fail(c, CLI_USAGE,
                                   "unknown scope `%.*s`; known are devices:read, devices:write, "
                                   "telemetry:read, "
                                   "telemetry:write, commands:write, rules:write and admin",
                                   (int)len, list);
                    return false;
                }
                if (len > 0) {
                    buf_printf(out, "%s\"%.*s\"", count++ > 0 ? "," : "", (int)len, list);
                }
                list += len + (list[len] != '\0');
            }
        }
    }
    buf_put_str(out, "}");
    buf_put_u8(out, 0);
    if (count == 0) {
        (void)cli_fail(
            c, CLI_USAGE,
            "at least one --scope is needed, such as --scope devices:read or --scope admin");
        return false;
    }
    return buf_err(out) == ERR_OK;
}

static bool take_expiry(const struct cli_call *c, int64_t *ret_at_us)
{
    const char *text = cli_value(c, "expires");
    int64_t after = 0;
    *ret_at_us = CLOCK_NONE;
    if (text == NULL || strcmp(text, "never") == 0) {
        return true;
    }
    if (clock_parse_duration(view_str(text), &after) != ERR_OK || after <= 0) {
        (void)cli_fail(c, CLI_USAGE,
                       "--expires takes a time such as 12h or 30d, or never, not `%s`", text);
        return false;
    }
    *ret_at_us = clock_wall_us() + after;
    return true;
}

static bool selector_is_good(const struct cli_call *c, const char *text)
{
    struct rule_selector *selector = NULL;
    struct rule_error why = {0};
    if (text[0] != '\0' && rule_selector_parse(view_str(text), &selector, &why) != ERR_OK) {
        (void)cli_fail(c, CLI_USAGE, "--select: column %d: %s", why.column, why.detail);
        return false;
    }
    rule_selector_free(selector);
    return true;
}

static int insert_token(const struct cli_call *c, const char *name, const char *scopes,
                        const char *selector, int64_t expires_at_us)
{
    struct conf *conf = NULL;
    struct db *db = NULL;
    struct db_params p = {0};
    char token[64];
    uint8_t hash[32];
    int code = cli_open_db(c, &conf, &db);
    if (code != CLI_OK) {
        return code;
    }
    enum err e = auth_token_new("sba_", token, hash);
    if (e == ERR_OK) {
        db_text(&p, name);
        db_bytes(&p, view_of(hash, sizeof(hash)));
        db_text(&p, scopes);
        db_text(&p, selector);
        db_time(&p, expires_at_us);
        e = db_exec(db,
                    "WITH t AS (INSERT INTO api_tokens (name, hash, scopes, selector, expires_at)"
                    " VALUES ($1, $2, $3::text[], $4, $5) RETURNING id)"
                    " INSERT INTO audit_log (actor, action, object, detail)"
                    " SELECT 'cli', 'token.create', $1, jsonb_build_object('id', id, 'scopes', "
                    "$3::text[]) FROM t",
                    &p, NULL);
    }
    if (e == ERR_EXISTS) {
        code = cli_fail(c, CLI_FAILED,
                        "there is a token of the name %s, maybe a revoked one; choose another name",
                        name);
    } else if (e != ERR_OK) {
        code = cli_fail(c, cli_exit_of(e), "%s; has `signalbox migrate` been run?", db_error(db));
    } else {
        if (!cli_flag(c, "print-only")) {
            cli_note("the token is shown once; only its hash is kept:");
        }
        printf("%s\n", token);
    }
    explicit_bzero(token, sizeof(token));
    db_close(db);
    conf_free(conf);
    return code;
}

static int token_create(const struct cli_call *c)
{
    const char *name = c->argc > 0 ? c->argv[0] : cli_value(c, "name");
    const char *selector = cli_value(c, "select");
    int64_t expires_at = CLOCK_NONE;
    struct buf scopes;
    if (name == NULL || !ident_valid(view_str(name))) {
        return cli_fail(c, CLI_USAGE, "a name is needed: letters, digits, . _ : and -, up to %d",
                        IDENT_MAX);
    }
    selector = selector == NULL ? "" : selector;
    buf_init(&scopes, 4096);
    int code = CLI_USAGE;
    if (take_scopes(c, &scopes) && take_expiry(c, &expires_at) && selector_is_good(c, selector)) {
        code = insert_token(c, name, (const char *)scopes.data, selector, expires_at);
    }
    buf_fini(&scopes);
    return code;
}

static void print_tokens(const struct cli_call *c, const struct db_result *rows)
{
    static const char *const heads[] = {"ID",      "NAME",    "SCOPES", "SELECTOR",
                                        "CREATED", "EXPIRES", "STATE"};
    static const char *const keys[] = {"id",         "name",       "scopes", "selector",
                                       "created_at", "expires_at", "state"};
    enum { COLUMNS = sizeof(heads) / sizeof(heads[0]) };
    struct cli_table table;
    json_t *items = json_array();
    cli_table_init(&table, COLUMNS, heads);
    for (int i = 0; i < db_rows(rows); i++) {
        json_t *item = json_object();
        for (int k = 0; k < COLUMNS; k++) {
            cli_table_cell(&table, db_get(rows, i, k));
            json_t *v = k == 0                   ? json_integer(db_get_int(rows, i, k))
                        : db_is_null(rows, i, k) ? json_null()
                                                 : json_string(db_get(rows, i, k));
            (void)json_object_set_new(item, keys[k], v);
        }
        (void)json_array_append_new(items, item);
    }
    if (c->json) {
        json_t *all = json_pack("{s:O}", "items", items);
        cli_print_json(all);
        json_decref(all);
    } else {
        cli_table_print(&table);
    }
    json_decref(items);
    cli_table_fini(&table);
}

static int token_list(const struct cli_call *c)
{
    struct conf *conf = NULL;
    struct db *db = NULL;
    struct db_result *rows = NULL;
    int code = cli_open_db(c, &conf, &db);
    if (code != CLI_OK) {
        return code;
    }
    enum err e = db_query(
        db,
        "SELECT id, name, array_to_string(scopes, ','), selector,"
        " to_char(created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " to_char(expires_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired'"
        " ELSE 'good' END FROM api_tokens ORDER BY id",
        NULL, &rows);
    if (e == ERR_OK) {
        print_tokens(c, rows);
    } else {
        code = cli_fail(c, cli_exit_of(e), "%s; has `signalbox migrate` been run?", db_error(db));
    }
    db_result_free(rows);
    db_close(db);
    conf_free(conf);
    return code;
}

static int token_revoke(const struct cli_call *c)
{
    struct conf *conf = NULL;
    struct db *db = NULL;
    struct db_params p = {0};
    int64_t rows = 0;
    int code = cli_open_db(c, &conf, &db);
    if (code != CLI_OK) {
        return code;
    }
    db_text(&p, c->argv[0]);
    enum err e =
        db_exec(db,
                "WITH t AS (UPDATE api_tokens SET revoked_at = now()"
                " WHERE (name = $1 OR id::text = $1) AND revoked_at IS NULL RETURNING id, name)"
                " INSERT INTO audit_log (actor, action, object, detail)"
                " SELECT 'cli', 'token.revoke', name, jsonb_build_object('id', id) FROM t",
                &p, &rows);
    if (e != ERR_OK) {
        code = cli_fail(c, cli_exit_of(e), "%s", db_error(db));
    } else if (rows == 0) {
        code = cli_fail(c, CLI_FAILED, "there is no unrevoked token `%s`", c->argv[0]);
    } else {
        cli_note("revoked");
    }
    db_close(db);
    conf_free(conf);
    return code;
}

int cli_token(int argc, char **argv)
{
    static const struct cli_option create_options[] = {
        {"name", 0, "NAME", "the token's name, when it is not the argument"},
        {"scope", 's', "SCOPE",
         "what it may do; may be repeated: devices:read, devices:write, telemetry:read, "
         "telemetry:write, commands:write, rules:write, admin"},
        {"scopes", 0, "LIST", "the same, separated by commas"},
        {"select", 0, "SELECTOR", "the devices it may see, such as site=plant-1 (default: all)"},
        {"expires", 0, "TIME", "how long it is good, such as 30d (default: never)"},
        {"print-only", 0, NULL, "no words beside the token"},
        {0},
    };
    static const struct cli_command commands[] = {
        {.name = "create",
         .arguments = "[NAME]",
         .words = "make a token and print it, once",
         .examples = "  signalbox token create grafana --scope telemetry:read --expires 365d\n"
                     "  signalbox token create plant-1 --scopes devices:read,commands:write "
                     "--select site=plant-1\n"
                     "  signalbox token create first --scopes admin > var/admin.token\n",
         .args_max = 1,
         .uses = CLI_USES_CONFIG,
         .options = create_options,
         .run = token_create},
        {.name = "list",
         .arguments = "",
         .words = "list the tokens, without their secrets",
         .examples = "  signalbox token list -o json\n",
         .uses = CLI_USES_CONFIG | CLI_USES_OUTPUT,
         .run = token_list},
        {.name = "revoke",
         .arguments = "NAME|ID",
         .words = "make a token useless",
         .examples = "  signalbox token revoke grafana\n",
         .args_min = 1,
         .args_max = 1,
         .uses = CLI_USES_CONFIG,
         .run = token_revoke},
        {0},
    };
    return cli_run("token", "Tokens for the REST API, directly in the database.", commands, argc,
                   argv);
}
