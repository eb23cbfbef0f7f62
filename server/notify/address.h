/*
 * address: may the server connect there on behalf of a channel? Whoever may write a channel must
 * not reach by it what only the server's own network reaches. Pure.
 *
 * Refused unless listed in the setting notify_networks: all that is not globally reachable (RFC
 * 6890 and the IANA special-purpose registries): loopback, private, link-local (also the metadata
 * service of clouds), carrier-grade NAT, unspecified, multicast, reserved, documentation,
 * benchmarking; and the IPv6 forms that carry an IPv4 address (mapped, 6to4, NAT64, Teredo).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct sockaddr;

/* networks: as in the setting. */
bool address_is_allowed(const struct sockaddr *address, struct view networks);
bool address_is_listed(const struct sockaddr *address, struct view networks);
