/*
 * wire: the whole server, put together and taken apart. Which module tells which other what stands
 * in wire.c, on one screen.
 */
#pragma once

#include "conf/conf.h"

struct server;

/* Opens everything, in order: database (waits for it), schema, catalog, core, sessions, API. On an
 * error everything is taken down again; the log says what and why. conf is borrowed for life. */
NODISCARD enum err server_start(const struct conf *conf, struct server **ret_server);
void server_reload(struct server *s); /* certificates, revocation lists, the alert log's file */
/* The same backwards: stop accepting, finish what is under way, commit it, then end. */
void server_stop(struct server *s);
int server_device_port(const struct server *s);
int server_http_port(const struct server *s);
bool server_gave_up(const struct server *s); /* another server uses the database */
