/*
 * registry: a thread-safe map from names to counted objects: credentials, devices, sessions.
 *
 * Ownership: the registry keeps one hold on each value, through the `hold` and `drop` given when it
 * is made. registry_get() holds for its caller, who drops. Replaced and removed values are dropped
 * here. Threads:   any. `hold` and `drop` run under the registry's lock and must not call back into
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/view.h"

struct registry;
typedef void (*registry_ref_fn)(void *value);
typedef bool (*registry_visit_fn)(void *arg, struct view key, void *value); /* false: stop */

NODISCARD struct registry *registry_new(registry_ref_fn hold, registry_ref_fn drop);
void registry_free(struct registry *r);
void *registry_get(struct registry *r, struct view key); /* held, or NULL */
NODISCARD enum err registry_put(struct registry *r, struct view key,
                                void *value); /* takes its own hold */
bool registry_remove(struct registry *r, struct view key);
size_t registry_count(struct registry *r);
void registry_visit(struct registry *r, registry_visit_fn visit,
                    void *arg); /* under the lock: be short */
