/*
 * Defaults, then the file, then the environment, then the checks over several settings. The first
 * error ends it and nothing of the half-read settings is seen by anyone.
 */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "conf/load.h"

#define ENV_PREFIX "SIGNALBOX_"

enum err conf_fail(struct conf_loader *l, enum err code, const struct conf_origin *at,
                   const char *format, ...)
{
    struct conf_error *e = l->error;
    *e = (struct conf_error){0};
    if (at != NULL && at->in_file) {
        e->line = at->line;
        e->column = at->column;
    }
    bool from_env = at != NULL && at->in_env;
    const char *file = from_env ? "environment" : l->file != NULL ? l->file : "settings";
    (void)view_copy(view_str(file), e->file, sizeof(e->file));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->detail, sizeof(e->detail), format, args);
    va_end(args);
    return code;
}

enum err conf_read_file(const char *path, size_t limit_bytes, bool regular_only, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0) {
        return ERR_IO;
    }
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode) || (regular_only && !S_ISREG(st.st_mode))) {
        (void)close(fd);
        errno = EINVAL;
        return ERR_IO;
    }
    enum err e = ERR_OK;
    for (;;) {
        uint8_t chunk[4096];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            e = n < 0 ? ERR_IO : ERR_OK;
            break;
        }
        if (out->len + (size_t)n > limit_bytes) {
            errno = EFBIG;
            e = ERR_IO;
            break;
        }
        buf_put(out, chunk, (size_t)n);
    }
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return e != ERR_OK ? e : buf_err(out);
}

static enum err set_text(struct conf_loader *l, const struct setting *s, struct view value,
                         const struct conf_origin *from)
{
    if (value.len > SETTING_VALUE_MAX) {
        return conf_fail(l, ERR_RANGE, from, "`%s` is longer than %d bytes", s->name,
                         SETTING_VALUE_MAX);
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < 0x20 || value.data[i] == 0x7F) {
            return conf_fail(l, ERR_TYPE, from, "`%s` holds a control character (byte %zu)",
                             s->name, i + 1);
        }
    }
    char *copy = malloc(value.len + 1);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    (void)view_copy(value, copy, value.len + 1);
    char **at = setting_text_at(s, l->conf);
    free(*at);
    *at = copy;
    return ERR_OK;
}

/* The secret that the file named by `value` holds; one line end behind it belongs to the editor. */
static enum err set_through_file(struct conf_loader *l, const struct setting *s, struct view value,
                                 const struct conf_origin *from)
{
    char path[1024];
    if (value.len == 0 || !view_copy(value, path, sizeof(path)) || strlen(path) != value.len) {
        return conf_fail(l, ERR_RANGE, from, "`%s_file` is not a file name", s->name);
    }
    struct buf secret;
    buf_init(&secret, CONF_SECRET_MAX);
    enum err e = conf_read_file(path, CONF_SECRET_MAX, true, &secret);
    if (e == ERR_IO) {
        e = conf_fail(l, ERR_IO, from, "`%s_file` cannot read %.200s: %s", s->name, path,
                      strerrordesc_np(errno));
    }
    if (e == ERR_OK) {
        struct view text = buf_view(&secret);
        text.len -= text.len > 0 && text.data[text.len - 1] == '\n';
        text.len -= text.len > 0 && text.data[text.len - 1] == '\r';
        e = set_text(l, s, text, from);
    }
    if (secret.data != NULL) {
        explicit_bzero(secret.data, secret.len);
    }
    buf_fini(&secret);
    return e;
}

static enum err unknown_name(struct conf_loader *l, struct view name,
                             const struct conf_origin *from)
{
    int shown = name.len > SETTING_NAME_MAX ? SETTING_NAME_MAX : (int)name.len;
    const struct setting *near = setting_nearest(name);
    if (near == NULL) {
        return conf_fail(l, ERR_UNKNOWN_NAME, from,
                         "unknown setting `%.*s`; `signalbox check-config --sample` lists all",
                         shown, (const char *)name.data);
    }
    return conf_fail(l, ERR_UNKNOWN_NAME, from, "unknown setting `%.*s`; did you mean `%s`?", shown,
                     (const char *)name.data, near->name);
}

const struct setting *conf_find(struct view name, size_t *ret_index, bool *ret_through)
{
    struct view suffix = VIEW("_file");
    *ret_through = false;
    const struct setting *s = setting_find(name, ret_index);
    if (s != NULL || name.len <= suffix.len ||
        !view_eq(view_skip(name, name.len - suffix.len), suffix)) {
        return s;
    }
    s = setting_find(view_of(name.data, name.len - suffix.len), ret_index);
    *ret_through = true;
    return s != NULL && s->secret ? s : NULL;
}

enum err conf_set(struct conf_loader *l, struct view name, struct view value, bool quoted,
                  const struct conf_origin *from)
{
    size_t index = 0;
    bool through_file = false;
    const struct setting *s = conf_find(name, &index, &through_file);
    if (s == NULL) {
        return unknown_name(l, name, from);
    }
    struct conf_origin *origin = &l->origins[index];
    if ((from->in_file && origin->in_file && !origin->in_env) || (from->in_env && origin->in_env)) {
        return conf_fail(l, ERR_EXISTS, from, "`%s` is given twice%s", s->name,
                         origin->through_file != through_file ? ", once as a file" : "");
    }
    if (!quoted && from->in_file && (value.len == 0 || view_eq_str(value, "~"))) {
        return conf_fail(l, ERR_TYPE, from,
                         "`%s` has no value; write \"\" for an empty text or leave the line out",
                         s->name);
    }
    enum err e = ERR_OK;
    if (through_file) {
        e = set_through_file(l, s, value, from);
    } else if (s->type == SETTING_TEXT) {
        e = set_text(l, s, value, from);
    } else if (quoted && (s->type == SETTING_COUNT || s->type == SETTING_BOOL)) {
        e = conf_fail(l, ERR_TYPE, from, "`%s` is a text; write it without quotes", s->name);
    } else {
        int64_t number = 0;
        char detail[sizeof(l->error->detail)];
        e = setting_parse(s, value, &number, detail, sizeof(detail));
        if (e != ERR_OK) {
            return conf_fail(l, e, from, "%s", detail);
        }
        setting_number_set(s, l->conf, number);
    }
    if (e == ERR_OK) {
        *origin = *from;
        origin->through_file = through_file;
    }
    return e;
}

static enum err set_defaults(struct conf *c)
{
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].type != SETTING_TEXT) {
            setting_number_set(&all[i], c, all[i].number);
            continue;
        }
        char *copy = strdup(all[i].text);
        if (copy == NULL) {
            return ERR_NOMEM;
        }
        *setting_text_at(&all[i], c) = copy;
    }
    return ERR_OK;
}

/* Variables of the command line client and the tests, which are no settings. */
static bool env_is_other(struct view name)
{
    static const char *const others[] = {"url", "token", "token_file", "cacert", "config"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (view_eq_str(name, others[i])) {
            return true;
        }
    }
    return view_starts(name, VIEW("test_"));
}

/* One SIGNALBOX_NAME=value. Unknown names are passed over, since orchestrators put variables such
 * as SIGNALBOX_PORT_8080_TCP into every container; one that is nearly a setting is a typing error.
 */
static enum err read_env_entry(struct conf_loader *l, struct view entry)
{
    const struct conf_origin from = {.in_env = true};
    const uint8_t *equals = memchr(entry.data, '=', entry.len);
    if (equals == NULL) {
        return ERR_OK;
    }
    struct view upper = view_of(entry.data, (size_t)(equals - entry.data));
    char lower[SETTING_NAME_MAX + 8];
    if (upper.len >= sizeof(lower)) {
        return ERR_OK;
    }
    for (size_t i = 0; i < upper.len; i++) {
        uint8_t c = upper.data[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    struct view name = view_of(lower, upper.len);
    struct view value = view_skip(entry, upper.len + 1);
    size_t index = 0;
    bool through_file = false;
    if (conf_find(name, &index, &through_file) != NULL) {
        return conf_set(l, name, value, false, &from);
    }
    const struct setting *near = env_is_other(name) ? NULL : setting_nearest(name);
    if (near == NULL) {
        return ERR_OK;
    }
    return conf_fail(l, ERR_UNKNOWN_NAME, &from,
                     "unknown variable %s%.*s; did you mean the setting `%s`?", ENV_PREFIX,
                     VIEW_ARG(upper), near->name);
}

static enum err read_env(struct conf_loader *l, char *const *env)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && env != NULL && *env != NULL; env++) {
        struct view entry = view_str(*env);
        if (view_starts(entry, VIEW(ENV_PREFIX))) {
            e = read_env_entry(l, view_skip(entry, sizeof(ENV_PREFIX) - 1));
        }
    }
    return e;
}

enum err conf_load_text(struct view yaml, const char *file_name, char *const *env,
                        struct conf **ret_conf, struct conf_error *ret_error)
{
    struct conf_error error = {0};
    struct conf_loader l = {.file = file_name, .error = &error};
    l.conf = calloc(1, sizeof(*l.conf));
    enum err e = l.conf == NULL ? ERR_NOMEM : set_defaults(l.conf);
    if (e == ERR_OK && yaml.len > 0) {
        e = conf_read_yaml(&l, yaml);
    }
    if (e == ERR_OK) {
        e = read_env(&l, env);
    }
    if (e == ERR_OK) {
        e = conf_check_all(&l);
    }
    if (e != ERR_OK) {
        if (error.detail[0] == '\0') {
            (void)conf_fail(&l, e, NULL, "%s", err_words(e));
        }
        *ret_error = error;
        conf_free(l.conf);
        return e;
    }
    *ret_conf = l.conf;
    return ERR_OK;
}

enum err conf_load(const char *file, struct conf **ret_conf, struct conf_error *ret_error)
{
    struct buf yaml;
    buf_init(&yaml, CONF_FILE_MAX);
    enum err e = file == NULL ? ERR_OK : conf_read_file(file, CONF_FILE_MAX, false, &yaml);
    if (e != ERR_OK) {
        struct conf_error error = {0};
        struct conf_loader l = {.file = file, .error = &error};
        (void)conf_fail(&l, e, NULL, "cannot be read: %s",
                        e == ERR_IO ? strerrordesc_np(errno) : err_words(e));
        *ret_error = error;
    } else {
        e = conf_load_text(buf_view(&yaml), file, environ, ret_conf, ret_error);
    }
    buf_fini(&yaml);
    return e;
}

void conf_free(struct conf *c)
{
    if (c == NULL) {
        return;
    }
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].type != SETTING_TEXT) {
            continue;
        }
        char *text = *setting_text_at(&all[i], c);
        if (text != NULL && all[i].secret) {
            explicit_bzero(text, strlen(text));
        }
        free(text);
    }
    free(c);
}
