# What the functions of the rules' language say is what Prometheus says, on the same series: see rules_promtool.c.
# promtool comes with Debian's package `prometheus`, which is too large to be installed for every run.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v promtool >/dev/null || skip "no promtool here: it is in the package prometheus"

"$SIGNALBOX_BUILD/system_rules_promtool" >"$SIGNALBOX_TEST_DIR/tests.yaml" 2>"$SIGNALBOX_TEST_DIR/asked"
asked=$(cat "$SIGNALBOX_TEST_DIR/asked")
[ "$(sed -E 's/ .*//' <<<"$asked")" -gt 3000 ] || fail "hardly anything was asked: $asked"
promtool test rules "$SIGNALBOX_TEST_DIR/tests.yaml" >"$SIGNALBOX_TEST_DIR/said" 2>&1 ||
    fail "promtool disagrees, see $SIGNALBOX_TEST_DIR/said: $(grep -c 'expr:' "$SIGNALBOX_TEST_DIR/said") times of $asked"
printf 'promtool agrees: %s\n' "$asked"
