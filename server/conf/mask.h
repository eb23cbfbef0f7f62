/*
 * mask: a secret as it may be shown. Private to conf.
 *
 * Of a PostgreSQL connection string only the passwords are hidden, so that a reader sees which
 * server is meant. Whatever is not clearly a connection string becomes "***" as a whole.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

void conf_mask(struct view secret, struct buf *out);
