#include "net/ws.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/utf8.h"

/*
 * libwslay takes frames apart and puts them together: heads, lengths, masks. What a sequence of
 * frames means is decided here, frame by frame and without a copy of a message.
 *
 * Of several pings that came before there was a chance to answer, the last is answered (RFC 6455
 * section 5.5.3), so a peer that only pings and never reads costs no memory.
 */

enum { WS_CONTROL_MAX = 125, WS_NO_CODE = 0, WS_CONTROL_BIT = 0x8 };

enum ws_state {
    WS_OPEN,
    WS_CLOSING, /* a Close is to be sent */
    WS_CLOSED   /* and was */
};

struct ws {
    wslay_frame_context_ptr frames;
    struct view in;    /* during ws_take(): not read yet */
    struct buf *out;   /* during ws_put() */
    struct buf answer; /* to the request, until it is sent */
    uint64_t left;     /* of the frame that is being read */
    uint16_t close_code;
    uint8_t state;
    bool in_frame;
    bool in_message; /* a binary frame came without FIN */
    bool pong_due;
    uint8_t control_len, ping_len;
    uint8_t control[WS_CONTROL_MAX]; /* of the frame that is being read */
    uint8_t ping[WS_CONTROL_MAX];
};

static ssize_t on_recv(uint8_t *ret_bytes, size_t size, int flags, void *user)
{
    struct ws *w = user;
    (void)flags;
    size_t len = size < w->in.len ? size : w->in.len;
    if (len == 0) {
        return -1;
    }
    memcpy(ret_bytes, w->in.data, len);
    w->in = view_skip(w->in, len);
    return (ssize_t)len;
}

static ssize_t on_send(const uint8_t *bytes, size_t len, int flags, void *user)
{
    struct ws *w = user;
    (void)flags;
    buf_put(w->out, bytes, len);
    return buf_err(w->out) == ERR_OK ? (ssize_t)len : -1;
}

struct ws *ws_new(struct view answer)
{
    static const struct wslay_frame_callbacks callbacks = {.send_callback = on_send,
                                                           .recv_callback = on_recv};
    struct ws *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    buf_init(&w->answer, answer.len);
    buf_put_view(&w->answer, answer);
    if (buf_err(&w->answer) != ERR_OK || wslay_frame_context_init(&w->frames, &callbacks, w) != 0) {
        buf_fini(&w->answer);
        free(w);
        return NULL;
    }
    return w;
}

void ws_free(struct ws *w)
{
    if (w == NULL) {
        return;
    }
    wslay_frame_context_free(w->frames);
    buf_fini(&w->answer);
    free(w);
}

static void close_with(struct ws *w, uint16_t code)
{
    w->state = WS_CLOSING;
    w->close_code = code;
}

/* What may begin now; else the code of the Close. */
static uint16_t judge_head(const struct ws *w, const struct wslay_frame_iocb *f)
{
    if (f->mask == 0 || f->rsv != WSLAY_RSV_NONE) {
        return WSLAY_CODE_PROTOCOL_ERROR; /* sections 5.1 and 5.2 */
    }
    switch (f->opcode) {
    case WSLAY_CONTINUATION_FRAME:
        return w->in_message ? WS_NO_CODE : WSLAY_CODE_PROTOCOL_ERROR;
    case WSLAY_BINARY_FRAME:
        return w->in_message ? WSLAY_CODE_PROTOCOL_ERROR : WS_NO_CODE;
    case WSLAY_TEXT_FRAME:
        return WSLAY_CODE_UNSUPPORTED_DATA; /* [MQTT-6.0.0-1] */
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return WS_NO_CODE;
    default:
        return WSLAY_CODE_PROTOCOL_ERROR;
    }
}

/* Section 7.4: those of the standard that may be sent, and those of libraries and applications. */
static bool may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
           (code >= 3000 && code <= 4999);
}

static void take_close(struct ws *w)
{
    unsigned code = w->control_len < 2 ? 0 : (unsigned)w->control[0] << 8 | w->control[1];
    if (w->control_len == 0) {
        close_with(w, WS_NO_CODE);
    } else if (!may_be_sent(code)) {
        close_with(w, WSLAY_CODE_PROTOCOL_ERROR);
    } else if (!utf8_valid(view_of(w->control + 2, w->control_len - 2u))) {
        close_with(w, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA);
    } else {
        close_with(w, (uint16_t)code);
    }
}

/* The whole frame is here. */
static void frame_ended(struct ws *w, const struct wslay_frame_iocb *f)
{
    w->in_frame = false;
    if (f->opcode == WSLAY_CONNECTION_CLOSE) {
        take_close(w);
    } else if (f->opcode == WSLAY_PING) {
        memcpy(w->ping, w->control, w->control_len);
        w->ping_len = w->control_len;
        w->pong_due = true;
    } else if (f->opcode != WSLAY_PONG) {
        w->in_message = f->fin == 0;
    }
}

/* A part of one frame, at most all of it. */
static void take_part(struct ws *w, const struct wslay_frame_iocb *f, struct buf *out)
{
    if (!w->in_frame) {
        uint16_t code = judge_head(w, f);
        if (code != WS_NO_CODE) {
            close_with(w, code);
            return;
        }
        w->in_frame = true;
        w->left = f->payload_length;
        w->control_len = 0;
    }
    if ((f->opcode & WS_CONTROL_BIT) == 0) {
        buf_put(out, f->data, f->data_length);
    } else if (f->data_length > 0) { /* libwslay lets no longer ones through */
        memcpy(w->control + w->control_len, f->data, f->data_length);
        w->control_len = (uint8_t)(w->control_len + f->data_length);
    }
    w->left -= f->data_length;
    if (w->left == 0) {
        frame_ended(w, f);
    }
}

enum err ws_take(struct ws *w, struct view bytes, struct buf *out)
{
    w->in = bytes;
    while (w->state == WS_OPEN) {
        struct wslay_frame_iocb part = {0};
        ssize_t got = wslay_frame_recv(w->frames, &part);
        if (got == WSLAY_ERR_WANT_READ) {
            return buf_err(out);
        }
        if (got < 0) {
            close_with(w, WSLAY_CODE_PROTOCOL_ERROR);
        } else {
            take_part(w, &part, out);
        }
    }
    w->in = view_of(NULL, 0);
    return ERR_CLOSED;
}

static void put_frame(struct ws *w, uint8_t opcode, struct view payload)
{
    struct wslay_frame_iocb f = {.fin = 1,
                                 .opcode = opcode,
                                 .payload_length = payload.len,
                                 .data = payload.data,
                                 .data_length = payload.len};
    (void)wslay_frame_send(w->frames, &f); /* fails when `out` does, which keeps the error */
}

enum err ws_put(struct ws *w, struct view payload, struct buf *out)
{
    w->out = out;
    if (w->answer.len > 0) {
        buf_put_view(out, buf_view(&w->answer));
        buf_fini(&w->answer);
    }
    if (w->pong_due && w->state != WS_CLOSED) {
        w->pong_due = false;
        put_frame(w, WSLAY_PONG, view_of(w->ping, w->ping_len));
    }
    if (w->state == WS_OPEN && payload.len > 0) {
        put_frame(w, WSLAY_BINARY_FRAME, payload);
    }
    if (w->state == WS_CLOSING) {
        const uint8_t code[2] = {(uint8_t)(w->close_code >> 8), (uint8_t)w->close_code};
        w->state = WS_CLOSED;
        put_frame(w, WSLAY_CONNECTION_CLOSE,
                  view_of(code, w->close_code == WS_NO_CODE ? 0 : sizeof(code)));
    }
    w->out = NULL;
    return buf_err(out);
}

bool ws_close(struct ws *w)
{
    if (w->state != WS_OPEN) {
        return false;
    }
    close_with(w, WSLAY_CODE_NORMAL_CLOSURE);
    return true;
}

bool ws_waits(const struct ws *w)
{
    return w->answer.len > 0 || w->state == WS_CLOSING || (w->pong_due && w->state == WS_OPEN);
}
