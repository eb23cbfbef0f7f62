/*
 * digest: many alerts in one message: how many of what, examples, and the first ones whole. Pure.
 *
 * {"count":10000,"firing":9998,"resolved":2,"retracted":0,"escalated":0,
 *  "groups":[{"rule","severity","event","count","devices":[…]}],"alerts":[…],"more":9950}
 *
 * Limits: 50 alerts, 50 groups, 10 devices a group; what is beyond them is counted.
 */
#pragma once

#include "base/buf.h"
#include "notify/policy.h"

/* Of the rows without a reason. */
void digest_write(const struct policy_row *rows, uint32_t count, struct buf *out);
