#include <string.h>

#include "net/private.h"

/*
 * The pipe as an OpenSSL BIO. Reading takes bytes straight out of the buffer that the socket was
 * read into; writing appends to the loop's output, from which all records of a flush leave with one
 * system call. A memory BIO would copy everything once more and keep its own buffers.
 *
 * One BIO serves all connections of a loop. During a handshake OpenSSL pushes a buffering BIO of
 * its own in front of it, which writes our back pointer and never follows it.
 */

static int bio_read(BIO *b, char *ret_bytes, size_t size, size_t *ret_len)
{
    struct net_pipe *p = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (p->in.len == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    size_t len = size < p->in.len ? size : p->in.len;
    memcpy(ret_bytes, p->in.data, len);
    p->in = view_skip(p->in, len);
    *ret_len = len;
    return 1;
}

static int bio_write(BIO *b, const char *bytes, size_t len, size_t *ret_written)
{
    struct net_pipe *p = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    buf_put(&p->out, bytes, len);
    *ret_written = len;
    return buf_err(&p->out) == ERR_OK ? 1 : 0;
}

static long bio_ctrl(BIO *b, int command, long number, void *pointer)
{
    (void)b;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

BIO_METHOD *net_bio_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "net pipe");
    if (m != NULL &&
        (BIO_meth_set_read_ex(m, bio_read) != 1 || BIO_meth_set_write_ex(m, bio_write) != 1 ||
         BIO_meth_set_ctrl(m, bio_ctrl) != 1 || BIO_meth_set_create(m, bio_create) != 1)) {
        BIO_meth_free(m);
        return NULL;
    }
    return m;
}

BIO *net_bio_new(struct net_pipe *pipe)
{
    BIO *b = BIO_new(pipe->method);
    if (b != NULL) {
        BIO_set_data(b, pipe);
    }
    return b;
}
