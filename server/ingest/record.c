#include "ingest/record.h"

#include "base/wire.h"

enum { RECORD_VERSION = 1, RECORD_DUP = 1, RECORD_COUNTED = 2 };

void record_encode(struct buf *out, const struct record *r)
{
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u8(out, (uint8_t)((r->dup ? RECORD_DUP : 0) | (r->counted ? RECORD_COUNTED : 0)));
    buf_put_u16(out, r->packet_id);
    buf_put_u64(out, r->run);
    buf_put_u64(out, (uint64_t)r->received_at_us);
    buf_put_u16(out, (uint16_t)r->device.len);
    buf_put_view(out, r->device);
    buf_put_u16(out, (uint16_t)r->topic.len);
    buf_put_view(out, r->topic);
    buf_put_u32(out, (uint32_t)r->payload.len);
    buf_put_view(out, r->payload);
}

enum err record_decode(struct view bytes, struct record *ret_record)
{
    struct wire w = wire_init(bytes);
    uint8_t version = wire_u8(&w);
    uint8_t flags = wire_u8(&w);
    struct record r = {.dup = (flags & RECORD_DUP) != 0, .counted = (flags & RECORD_COUNTED) != 0};
    r.packet_id = wire_u16(&w);
    r.run = wire_u64(&w);
    r.received_at_us = (int64_t)wire_u64(&w);
    r.device = wire_bytes(&w, wire_u16(&w));
    r.topic = wire_bytes(&w, wire_u16(&w));
    r.payload = wire_bytes(&w, wire_u32(&w));
    if (wire_err(&w) != ERR_OK) {
        return wire_err(&w);
    }
    if (version != RECORD_VERSION) {
        return ERR_UNSUPPORTED;
    }
    if (wire_left(&w) > 0) {
        return ERR_MALFORMED;
    }
    *ret_record = r;
    return ERR_OK;
}
