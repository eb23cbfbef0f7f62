/*
 * session_fake: the server end of a connection, as the session module behaves towards ingest.
 */
#pragma once

#include "net.h"

void session_input(struct net *n, struct conn *c); /* a packet arrived */
void session_conn_lost(struct net *n, struct conn *c);
void conn_send_down(struct conn *c, struct packet *p);
