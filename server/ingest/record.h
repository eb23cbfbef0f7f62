/*
 * record: a publish as it is kept in the spool: enough to take it apart again as if it had just
 * come.
 *
 * Pure. Version 1; a later program reads it too. Views of a decoded record point into its bytes.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

struct record {
    uint64_t run; /* of the server that wrote it */
    int64_t received_at_us;
    uint16_t packet_id;
    bool dup;
    bool counted; /* the writing server has it in its balance by another part: in a batch that waits
                     in memory, or in a record before this one */
    struct view device;
    struct view topic;
    struct view payload;
};

void record_encode(struct buf *out, const struct record *r); /* errors: those of the buf */
/* ERR_SHORT, ERR_MALFORMED, ERR_UNSUPPORTED: of a later version. */
NODISCARD enum err record_decode(struct view bytes, struct record *ret_record);
