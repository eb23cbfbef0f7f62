/*
 * plan: recorded rows as messages in the order in which they will be sent. No sockets and no
 * clocks.
 *
 * A file's header names its columns: `ts` (RFC 3339), `device`, then metrics; or with `wide_metric`
 * `ts`, then devices. An empty cell is a missing value. A number keeps its text to the last digit;
 * what is no number is sent as text, true and false as themselves, NaN as missing.
 *
 * Ownership: fleet_plan_init() to fleet_plan_fini(); payload views live as long as the plan.
 * Threads:   one.
 * Errors:    a bad row is an error that names file, line and column, unless skip_bad counts it
 * instead. Limits:    2^31 messages; memory for all of them: about 60 bytes and the payload each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/view.h"

enum { FLEET_PLAN_NONE = -1 };

struct fleet_message {
    int64_t ts_us;  /* event time */
    int64_t due_us; /* when it is sent, on the scale of event time */
    uint64_t payload_at;
    uint32_t payload_len;
    uint32_t device;
    int32_t next; /* the same device's next message, or FLEET_PLAN_NONE */
    uint32_t row; /* order of reading */
    bool is_double;
};

struct fleet_plan_device {
    char *name;
    int64_t oldest_us;
    int64_t newest_us; /* of the rows read last; a file's order is the order of arrival */
    uint32_t file;
    int32_t first; /* after fleet_plan_arrange() */
    uint32_t messages;
};

struct fleet_plan {
    const char *prefix;      /* of device names; may be NULL */
    const char *wide_metric; /* NULL: one row for each device and time */
    bool skip_bad;
    bool together;    /* every device's record begins at the same moment; its own times stay */
    struct map index; /* device name -> 1 + its number */
    struct fleet_plan_device *devices;
    uint32_t device_count, device_cap;
    struct fleet_message *messages;
    uint32_t message_count, message_cap;
    struct buf payloads;
    uint64_t rows, bad_rows, empty_rows, doubles;
    uint32_t files;
};

void fleet_plan_init(struct fleet_plan *p);
void fleet_plan_fini(struct fleet_plan *p);
NODISCARD enum err fleet_plan_read(struct fleet_plan *p, const char *path, char *ret_why,
                                   size_t why_size);
/*
 * Shuffling: a message is sent at most shuffle_us of event time after its own; so whatever
 * overtakes it is at most that much newer. Doubling: a share of the messages is sent twice, the
 * second up to max(shuffle_us, 30 s) after the first.
 */
NODISCARD enum err fleet_plan_arrange(struct fleet_plan *p, int64_t shuffle_us, double double_share,
                                      uint64_t seed);
/* After arranging: where nothing is due for longer than gap_us, the rest moves up. Event times
 * stay. */
void fleet_plan_close_gaps(struct fleet_plan *p, int64_t gap_us);
struct view fleet_plan_payload(const struct fleet_plan *p, const struct fleet_message *m);
/* Is the text a number as JSON writes it? */
bool fleet_plan_is_number(struct view text);
