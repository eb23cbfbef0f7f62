# What durability.sh promises, with the spool on: messages acknowledged from local files while PostgreSQL is away survive kills of the
# server, are stored once when PostgreSQL is back, and keep their PUBACKs in order.
# shellcheck shell=bash source=durability.sh
SIGNALBOX_SPOOL=1
. "$(dirname "${BASH_SOURCE[0]}")/durability.sh"
