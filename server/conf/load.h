/*
 * load: the steps of conf_load() with text and environment as arguments, for tests and the fuzzer.
 * Private to conf.
 *
 * Ownership and errors: those of conf_load().
 */
#pragma once

#include "base/view.h"
#include "conf/conf.h"
#include "conf/table.h"

enum { CONF_FILE_MAX = 1024 * 1024, CONF_SECRET_MAX = 16 * 1024 };

/* Where a value came from, so that a check over several settings can point at the line. */
struct conf_origin {
    bool in_file, in_env;
    bool through_file; /* given as name_file */
    int line, column;
};

struct conf_loader {
    struct conf *conf;
    const char *file; /* name for messages; NULL: no file */
    struct conf_error *error;
    struct conf_origin origins[SETTINGS_MAX];
};

/* yaml: the whole file; env: like environ. */
NODISCARD enum err conf_load_text(struct view yaml, const char *file_name, char *const *env,
                                  struct conf **ret_conf, struct conf_error *ret_error);

/* A setting by its name or, for a secret, by name_file. NULL: unknown. */
const struct setting *conf_find(struct view name, size_t *ret_index, bool *ret_through_file);
/* One setting from its text; `quoted` in YAML: not a number or boolean. */
NODISCARD enum err conf_set(struct conf_loader *l, struct view name, struct view value, bool quoted,
                            const struct conf_origin *from);
NODISCARD enum err conf_read_yaml(struct conf_loader *l, struct view yaml);
NODISCARD enum err conf_check_all(struct conf_loader *l); /* what one row alone cannot say */
NODISCARD enum err conf_read_file(const char *path, size_t limit_bytes, bool regular_only,
                                  struct buf *out);
/* Fills the error and gives `code` back. */
__attribute__((format(printf, 4, 5))) enum err conf_fail(struct conf_loader *l, enum err code,
                                                         const struct conf_origin *at,
                                                         const char *format, ...);
