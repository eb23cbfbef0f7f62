/*
 * ident: which names are allowed, after they were taken out of a certificate, a topic or a request.
 *
 * Device, type, rule and metric names end up in topics, selectors, URLs and logs. The set is small
 * on purpose: no wildcard, separator or control byte can come in through a name.
 */
#pragma once

#include <stdbool.h>

#include "base/view.h"

enum { IDENT_MAX = 128 };

bool ident_valid(struct view name); /* [A-Za-z0-9._:-]{1,128}: devices, types, rules, labels */
bool ident_metric_valid(
    struct view name); /* as above, with space, '/', '%', '(', ')', '@', '$' and UTF-8 beyond
                          ASCII; no control characters, no quotes, no backslash; 1 to 128 bytes */
