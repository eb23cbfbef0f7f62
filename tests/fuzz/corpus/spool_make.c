/*
 * Writes the seeds fuzz_spool_segment/ beside this file. Run it after a change of the format; it is
 * no part of the build:
 *
 *     cd tests/fuzz/corpus && cc -I../../../include -I../../../server -o /tmp/make spool_make.c \
 *         ../../../server/spool/format.c ../../../server/base/{buf,check,clock,lock,log}.c -lxxhash
 * && /tmp/make
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "spool/format.h"

static void save(const char *name, const struct buf *b, size_t len)
{
    char path[80];
    (void)snprintf(path, sizeof(path), "fuzz_spool_segment/%s", name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fputc(30, f) == EOF || fwrite(b->data, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static void begin(struct buf *b, uint32_t version)
{
    const struct spool_header h = {.version = version, .segment = 1, .salt = 7};
    uint8_t bytes[SPOOL_HEADER_BYTES];
    spool_header_encode(&h, bytes);
    buf_clear(b);
    buf_put(b, bytes, sizeof(bytes));
}

int main(void)
{
    static const uint8_t zeros[64] = {0};
    static const size_t lens[] = {0, 1, 12, 44, 300};
    if (mkdir("fuzz_spool_segment", 0755) != 0 && errno != EEXIST) {
        perror("fuzz_spool_segment");
        return 1;
    }
    struct buf b;
    buf_init(&b, 8192);
    begin(&b, 2);
    save("newer", &b, b.len);
    begin(&b, 1);
    save("empty", &b, b.len);
    save("short-header", &b, b.len - 1);
    uint8_t bytes[300];
    memset(bytes, 'x', sizeof(bytes));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        spool_record_put(&b, view_of(bytes, lens[i]));
    }
    spool_records_seal(b.data + SPOOL_HEADER_BYTES, b.len - SPOOL_HEADER_BYTES, 7, 1);
    size_t len = b.len;
    save("full", &b, len);
    save("torn", &b, len - 10);
    save("torn-head", &b, len - 310);
    buf_put(&b, zeros, sizeof(zeros));
    save("zeros", &b, b.len);
    save("few-zeros", &b, len + 7);
    b.data[len - 3] ^= 4;
    save("flipped", &b, b.len);
    b.data[len - 3] ^= 4;
    b.data[len + 50] = 1;
    save("behind-the-end", &b, b.len);
    memset(b.data + len - 320, 0xFF, 4);
    save("mad-length", &b, b.len);
    buf_fini(&b);
    return 0;
}
