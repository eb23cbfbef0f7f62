# The manual pages have every command and every setting, and man(1) reads them without a complaint.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
page() { "$SIGNALBOX_BIN" manual "$@"; }
page >"$SIGNALBOX_TEST_DIR/signalbox.1"
page signalbox.yaml >"$SIGNALBOX_TEST_DIR/signalbox.yaml.5"

for command in $("$SIGNALBOX_BIN" --help | sed -nE 's/^  ([a-z-]+) .*/\1/p'); do
    grep -qF ".SS \"signalbox ${command//-/\\-}" "$SIGNALBOX_TEST_DIR/signalbox.1" || fail "signalbox(1) does not tell of $command"
done
expect "settings told of" "$(grep -cE '^#[a-z_0-9]+: ' "$SIGNALBOX_TEST_DIR/signalbox.yaml.5")" \
    "$("$SIGNALBOX_BIN" check-config --sample | grep -cE '^#[a-z_0-9]+: ')"
grep -qF ".B \\-o, \\-\\-output FORMAT" "$SIGNALBOX_TEST_DIR/signalbox.1" || fail "no option is told of"
code=0
page nothing >/dev/null 2>&1 || code=$?
expect "a page that does not exist" "$code" 2
if command -v groff >/dev/null; then
    for file in signalbox.1 signalbox.yaml.5; do
        expect "complaints about $file" "$(groff -man -ww -Tutf8 -Kutf8 "$SIGNALBOX_TEST_DIR/$file" 2>&1 >/dev/null)" ""
    done
fi
