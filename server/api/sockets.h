/*
 * sockets: cuts off connections that take too long, because libmicrohttpd's time-out only sees
 * silence and a client that sends a byte every few seconds would hold its place for ever.
 *
 * Each step of a request has a deadline. When more than three quarters of the places are taken, the
 * oldest connections that send a head, a body, or read an answer slowly are cut, so that there is
 * always a place for a request that takes milliseconds. Event streams have none: their buffer is
 * bounded and libmicrohttpd closes those that do not read.
 *
 * Threads: libmicrohttpd's and the ticker's, under one lock. The socket is shut down, never closed
 * here: libmicrohttpd tells of the end of a connection before it closes the descriptor.
 */
#pragma once

#include <microhttpd.h>

#include "base/err.h"

struct api_sockets;
struct api_connection;

enum api_step { API_STEP_HEAD, API_STEP_BODY, API_STEP_WORK, API_STEP_SEND, API_STEP_STREAM };

NODISCARD struct api_sockets *api_sockets_new(int64_t connections_max);
void api_sockets_free(struct api_sockets *s);
/* For MHD_OPTION_NOTIFY_CONNECTION, with the sockets as argument. */
void api_sockets_notify(void *arg, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode code);
struct api_connection *api_socket_of(struct MHD_Connection *c); /* may be NULL */
void api_socket_step(struct api_sockets *s, struct api_connection *c, enum api_step step);
void api_sockets_tick(struct api_sockets *s, int64_t now_us);
