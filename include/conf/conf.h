/*
 * conf: reads the settings of settings.h from a YAML file and the environment.
 *
 * Ownership: conf_load() gives a whole object; conf_free() frees it. Nothing is shared with the
 * environment. Errors:    ERR_SYNTAX, ERR_TYPE, ERR_RANGE, ERR_UNKNOWN_NAME, ERR_IO; ret_error says
 * file, line, column and the remedy
 *            ("unknown setting `htp_listen`; did you mean `http_listen`?"). All or nothing: a file
 * with an error changes nothing.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"
#include "conf/settings.h"

struct conf_error {
    char file[256];
    int line, column; /* 0: from the environment or the whole file */
    char detail[320];
};

/* file may be NULL: defaults and environment only. */
NODISCARD enum err conf_load(const char *file, struct conf **ret_conf,
                             struct conf_error *ret_error);
void conf_free(struct conf *c);
void conf_write_sample(struct buf *out); /* every setting with words and default, commented out */
void conf_write_effective(const struct conf *c, struct buf *out); /* as YAML; secrets as "***" */
/* "127.0.0.1:8080", "[::]:8883", ":8883" -> host and port. */
NODISCARD enum err conf_split_address(const char *text, char *ret_host, size_t host_size,
                                      int *ret_port);

struct conf_network {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;        /* of the 128 */
};
/* Cuts the first network off a list such as "10.0.0.0/8, 2001:db8::7". ERR_NOT_FOUND: the list is
 * empty. */
NODISCARD enum err conf_next_network(struct view *list, struct conf_network *ret_network);
bool conf_network_has(const struct conf_network *n, const uint8_t address[static 16]);
