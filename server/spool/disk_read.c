/*
 * Reading and releasing. A segment that turns out to be damaged is read as far as it is good; its
 * file is set aside when it is released, because until then a crash must read it again.
 */
#include "spool/disk.h"

static struct spool_segment *reading(struct spool_disk *d)
{
    size_t i = 0;
    while (i < d->count && (d->segments[i]->number < d->read_segment || d->segments[i]->released)) {
        i++;
    }
    if (i == d->count) {
        return NULL;
    }
    struct spool_segment *seg = d->segments[i];
    if (seg->number != d->read_segment) {
        d->read_segment = seg->number;
        d->read_at = SPOOL_HEADER_BYTES;
        d->read_sequence = 1;
    }
    return seg;
}

/* Opens the file and finds its end. ERR_OK too when it turns out to be bad. */
static enum err prepare(struct spool_disk *d, struct spool_segment *seg)
{
    enum err e = spool_segment_open(&d->dir, seg);
    if (e == ERR_NOT_FOUND || e == ERR_TYPE) {
        seg->end = d->read_at;
        seg->scanned = true;
        spool_disk_mark_bad(d, seg, "the file was taken away");
        return ERR_OK;
    }
    if (e != ERR_OK || seg->scanned) {
        return e;
    }
    e = spool_segment_scan(&d->dir, seg);
    if (e == ERR_MALFORMED) {
        spool_disk_mark_bad(d, seg, "a checksum or length is wrong");
        return ERR_OK;
    }
    return e == ERR_IO && spool_disk_give_up(d, seg) ? ERR_OK : e;
}

static enum err hand_out(struct spool_disk *d, struct spool_segment *seg, struct spool_read *r)
{
    struct spool_parse p = {.end = SPOOL_PARSE_BAD};
    enum err e =
        spool_segment_read(&d->dir, seg, d->read_at, d->read_sequence, r->max_bytes, &r->bytes, &p);
    if (e == ERR_NOMEM || (e == ERR_IO && !spool_disk_give_up(d, seg))) {
        return e;
    }
    seg->failures = e == ERR_OK ? 0 : seg->failures;
    d->read_at += p.good_bytes;
    d->read_sequence += p.count;
    if (e != ERR_OK || p.end == SPOOL_PARSE_BAD ||
        (p.end == SPOOL_PARSE_END && d->read_at < seg->end)) {
        seg->end = d->read_at;
        seg->records = d->read_sequence - 1;
        spool_disk_mark_bad(d, seg, "what was synced cannot be read back");
    }
    if (p.count > 0) {
        seg->read = true;
        r->count = p.count;
        r->segment = seg->number;
        r->segment_ends = d->read_at == seg->end && seg != d->open;
    }
    return ERR_OK;
}

void spool_disk_read(struct spool_disk *d, struct spool_read *r)
{
    buf_clear(&r->bytes);
    r->count = 0;
    r->segment = 0;
    r->segment_ends = false;
    r->status = ERR_OK;
    struct spool_segment *seg = reading(d);
    while (seg != NULL && r->count == 0 && r->status == ERR_OK) {
        r->status = prepare(d, seg);
        if (r->status == ERR_OK && d->read_at < seg->end) {
            r->status = hand_out(d, seg, r);
        } else if (r->status == ERR_OK && seg == d->open) {
            break; /* all that is durable has been read */
        } else if (r->status == ERR_OK) {
            d->read_segment = seg->number + 1;
            d->read_at = SPOOL_HEADER_BYTES;
            d->read_sequence = 1;
            spool_segment_close(seg);
            if (!seg->read) { /* nobody else will release it */
                spool_disk_remove(d, seg);
            }
        }
        seg = reading(d);
    }
    spool_disk_publish(d);
}

void spool_disk_release(struct spool_disk *d, uint64_t number)
{
    spool_disk_remove_released(d);
    for (size_t i = 0; i < d->count; i++) {
        struct spool_segment *seg = d->segments[i];
        if (seg->number != number || seg->released) {
            continue;
        }
        if (!spool_disk_is_unread(d, seg)) {
            spool_disk_remove(d, seg);
        } else if (seg == d->open && !seg->broken) {
            spool_disk_seal(d); /* something was appended meanwhile: it is read first */
        }
        break;
    }
    spool_disk_publish(d);
}
