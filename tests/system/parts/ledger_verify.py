#!/usr/bin/env python3
"""Compares the books of bench_ledger with the database.

    ledger_verify.py BOOK.csv [BOOK.csv…] DATABASE_URL

lost     acknowledged and not there                       must be 0
altered  acknowledged and there, but not as it was sent   must be 0
dup      there more often than once                       must be 0
phantom  there, but never sent                            must be 0
maybe    no answer came, and it is there: either is right
refused  refused, and it is there all the same            must be 0: a refused message is kept elsewhere

Only the devices named in the books are looked at; give all books of a database whose devices were used more than once.
Exit code 0: all that must be 0 is. Uses psql and nothing but Python's own library.
"""
import json
import subprocess
import sys

MUST_BE_ZERO = ("lost", "altered", "dup", "phantom", "refused")

SETUP = """
CREATE TEMP TABLE book (nonce bigint, device text, metric text, ts bigint, seq bigint, value bigint,
                        t_send bigint, t_ack bigint, state text);
"""
# A device's time has milliseconds; a value that the server gave a time to may have any.
LOOK = """
CREATE INDEX ON book (nonce);
ANALYZE book;
CREATE TEMP TABLE found AS
  SELECT device, metric, ts, value FROM reading_values WHERE device IN (SELECT DISTINCT device FROM book);
CREATE INDEX ON found (value);
ANALYZE found;
CREATE TEMP VIEW lost AS
  SELECT b.* FROM book b WHERE b.state = 'acked' AND NOT EXISTS (SELECT FROM found f WHERE f.value = b.nonce::float8);
CREATE TEMP VIEW altered AS
  SELECT b.*, f.device AS in_device, f.metric AS in_metric, f.ts AS in_ts FROM book b JOIN found f ON f.value = b.nonce::float8
  WHERE b.state = 'acked' AND (f.device <> b.device OR f.metric <> b.metric OR
        (b.ts IS NOT NULL AND f.ts <> to_timestamp(b.ts / 1000) + (b.ts % 1000) * interval '1 millisecond'));
CREATE TEMP VIEW dup AS SELECT value, count(*) - 1 AS more, min(device) AS device, array_agg(ts) AS ts
  FROM found GROUP BY value HAVING count(*) > 1;
CREATE TEMP VIEW phantom AS
  SELECT f.* FROM found f WHERE NOT EXISTS (SELECT FROM book b WHERE b.nonce::float8 = f.value);
CREATE TEMP VIEW maybe AS
  SELECT b.* FROM book b WHERE b.state = 'unknown' AND EXISTS (SELECT FROM found f WHERE f.value = b.nonce::float8);
CREATE TEMP VIEW refused AS
  SELECT b.* FROM book b WHERE b.state = 'rejected' AND EXISTS (SELECT FROM found f WHERE f.value = b.nonce::float8);
SELECT json_build_object(
  'sent', (SELECT count(*) FROM book), 'acked', (SELECT count(*) FROM book WHERE state = 'acked'),
  'unknown', (SELECT count(*) FROM book WHERE state = 'unknown'),
  'rejected', (SELECT count(*) FROM book WHERE state = 'rejected'),
  'found', (SELECT count(*) FROM found),
  'lost', (SELECT count(*) FROM lost), 'altered', (SELECT count(*) FROM altered),
  'dup', (SELECT coalesce(sum(more), 0) FROM dup), 'phantom', (SELECT count(*) FROM phantom),
  'refused', (SELECT count(*) FROM refused), 'maybe', (SELECT count(*) FROM maybe));
"""
EXAMPLES = "SELECT json_build_object('what', '{0}', 'row', to_json(x)) FROM (SELECT * FROM {0} LIMIT 5) x;\n"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    *books, url = sys.argv[1:]
    copies = "".join("\\copy book FROM '" + book.replace("'", "''") + "' WITH (FORMAT csv, HEADER true)\n" for book in books)
    script = SETUP + copies + LOOK + "".join(EXAMPLES.format(what) for what in MUST_BE_ZERO)
    run = subprocess.run(["psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"], input=script,
                         capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"ledger_verify: psql: {run.stderr.strip()}")
    counts, *examples = [json.loads(line) for line in run.stdout.splitlines() if line.strip()]
    print(json.dumps(counts))
    for example in examples:
        print(f"{example['what']}: {json.dumps(example['row'])}", file=sys.stderr)
    wrong = [what for what in MUST_BE_ZERO if counts[what] != 0]
    if wrong:
        sys.exit("ledger_verify: " + ", ".join(f"{what} {counts[what]}" for what in wrong))
    if counts["sent"] == 0:
        sys.exit("ledger_verify: the books are empty: nothing was tested")


main()
