/*
 * params: single members of a small JSON object, as a device reads them in a command.
 *
 * Ownership: views into the text. Threads: any.
 * Limits:    32 levels; a text with escapes is given as it stands.
 */
#pragma once

#include <stdbool.h>

#include "base/view.h"

/* The member's value as JSON text, quotes included. False: no object, or no such member. */
bool fleet_params_find(struct view object, const char *key, struct view *ret_value);
bool fleet_params_text(struct view object, const char *key, struct view *ret_text);
bool fleet_params_number(struct view object, const char *key, double *ret_x);
bool fleet_params_bool(struct view object, const char *key, bool *ret_on);
