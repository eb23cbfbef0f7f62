/*
 * api: a client of the REST interface.
 */
#pragma once

#include "sim.h"

struct api *api_start(void);
void api_server_died(void); /* requests under way get no answer */
bool api_is_done(const struct api *api);
void api_free_fake(struct api *api);
