/*
 * table: the rows of SETTING_LIST as data, and values of each type as text. Private to conf and its
 * tests.
 *
 * Threads: any; the table is constant.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"

enum setting_type { SETTING_TEXT, SETTING_COUNT, SETTING_BOOL, SETTING_TIME, SETTING_SIZE };

struct setting {
    const char *name;
    enum setting_type type;
    bool secret;
    const char *text; /* default of a TEXT setting */
    int64_t number;   /* default of the others, in the unit they are kept in */
    int64_t min, max;
    size_t offset; /* in struct conf */
    const char *words;
};

enum {
    SETTINGS_MAX = 128,
    SETTING_VALUE_MAX = 4096, /* bytes of a text value */
    SETTING_NAME_MAX = 64,
};

const struct setting *setting_all(size_t *ret_count);
const struct setting *setting_find(struct view name, size_t *ret_index); /* NULL: unknown */
/* The setting whose name is likely meant, or NULL. */
const struct setting *setting_nearest(struct view name);

/* A value of any type but TEXT. ERR_TYPE, ERR_RANGE; ret_detail then says what is accepted. */
NODISCARD enum err setting_parse(const struct setting *s, struct view text, int64_t *ret_number,
                                 char *ret_detail, size_t detail_size);
void setting_format(enum setting_type type, int64_t number, struct buf *out);

char **setting_text_at(const struct setting *s, struct conf *c);
int64_t setting_number_get(const struct setting *s, const struct conf *c);
void setting_number_set(const struct setting *s, struct conf *c, int64_t number);
