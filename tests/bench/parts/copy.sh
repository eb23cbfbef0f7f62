# Sourced by tests/bench/run: what the same rows cost when psql copies them.
# shellcheck shell=bash
#
#   copy_url DATABASE
#   copy_rate URL CONDITION     rows a second of `\copy` into an empty table like `samples`, with its key and partitions: of the
#                               rows of that database for which the condition holds, in the order in which they are stored.
#                               The better of text and binary.
#   store_create                the database `store`, beside the server's
#   store_rate SECONDS          samples of 10 values a second that the writer commits there with nothing else running
COPY_ROWS_MAX=500000

copy_url() { # DATABASE : as superuser, who may ask for a checkpoint
    echo "host=$(postgres_socket "$TEST_PG") dbname=$1 user=postgres"
}

copy_table() { # URL : bench.samples, empty
    psql -X -q -v ON_ERROR_STOP=1 -d "$1" >/dev/null 2>&1 <<'SQL'
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.samples (LIKE public.samples INCLUDING ALL) PARTITION BY RANGE (ts);
SELECT format('CREATE TABLE bench.%I (LIKE public.%I INCLUDING ALL)', relname, relname),
       format('ALTER TABLE bench.samples ATTACH PARTITION bench.%I %s', relname, pg_get_expr(relpartbound, oid))
FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.samples'::regclass) \gexec
CHECKPOINT
SQL
}

copy_rate() {
    local url=$1 condition=$2 file=$SIGNALBOX_TEST_DIR/copy format rows started best=0 rate
    for format in text binary; do
        psql -X -q -d "$url" -v ON_ERROR_STOP=1 \
            -c "\\copy (SELECT * FROM public.samples WHERE $condition LIMIT $COPY_ROWS_MAX) TO '$file' (FORMAT $format)" || fail "psql: \\copy TO"
        copy_table "$url" || fail "the table for \\copy"
        started=${EPOCHREALTIME/./}
        psql -X -q -d "$url" -v ON_ERROR_STOP=1 -c "\\copy bench.samples FROM '$file' (FORMAT $format)" || fail "psql: \\copy FROM"
        started=$((${EPOCHREALTIME/./} - started))
        rows=$(psql -X -tA -d "$url" -c 'SELECT count(*) FROM bench.samples')
        rate=$((rows * 1000000 / started))
        ((rate <= best)) || best=$rate
    done
    rm -f "$file"
    psql -X -q -d "$url" -c 'DROP SCHEMA bench CASCADE' >/dev/null 2>&1
    echo "$best"
}

store_create() { postgres_sql "$TEST_PG" -c 'CREATE DATABASE store' || fail "CREATE DATABASE"; }
store_rate() { "$SIGNALBOX_BUILD/bench_store" "$(copy_url store)" "$1" 10 | jq -er .samples_per_second; }
