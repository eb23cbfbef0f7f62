#!/usr/bin/env bash
# The deterministic simulator: no seed breaks an invariant, a seed always gives the same event log, and the mutants of the
# simulator's own fakes are found. SIGNALBOX_FULL=1: 10,000 seeds instead of 600. See tests/sim/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
SIM=${SIGNALBOX_BUILD:-build}/sim
checks=0

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

seeds=600
[[ ${SIGNALBOX_FULL:-0} == 1 ]] && seeds=10000
"$SIM" --seeds "$seeds" || fail "see above"
checks=$((checks + seeds))

for seed in 1 21 77 804; do
    "$SIM" --seed "$seed" >/dev/null || fail "seed $seed does not repeat itself"
    checks=$((checks + 1))
done
first=$("$SIM" --seed 21 | sed -n 's/^log //p')
again=$("$SIM" --seed 21 | sed -n 's/^log //p')
[[ $first == "$again" && -n $first ]] || fail "seed 21 gives another log in another process: $first, $again"
checks=$((checks + 1))

while read -r mutant _; do
    ! "$SIM" --seeds 400 --mutant "$mutant" >/dev/null || fail "mutant $mutant was not found"
    checks=$((checks + 1))
done < <("$SIM" --help | sed -n '/breaks the fakes/,$p' | tail -n +2)
echo "# $checks checks"
