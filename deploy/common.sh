# Sourced by deploy/quickstart, tests/run and tests/system/lib.sh: Debian packages, free ports, processes by their
# number, and a PostgreSQL of one's own in a folder. Functions only; nothing happens when this file is read.
# shellcheck shell=bash

PACKAGES_RUN="ca-certificates curl jq procps util-linux postgresql-15"
PACKAGES_BUILD="cmake ninja-build gcc libc6-dev pkg-config libuv1-dev libssl-dev libpq-dev libjansson-dev libmicrohttpd-dev
 libyaml-dev libxxhash-dev zlib1g-dev libcurl4-openssl-dev libwslay-dev libgeos-dev libical-dev"
POSTGRES_BIN=${POSTGRES_BIN:-/usr/lib/postgresql/15/bin}

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    local remedy
    for remedy; do printf '    %s\n' "$remedy" >&2; done
    exit 1
}

# --- packages ---------------------------------------------------------------------------------------------------------

packages_missing() { # NAME… : those that are not installed
    local have
    have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p') || true
    local name
    for name; do grep -qx -- "$name" <<<"$have" || printf '%s\n' "$name"; done
}

packages_install() { # LOG NAME… : installs what is missing; the package lists are fetched only then
    local log=$1 missing
    shift
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "packages are missing: ${missing[*]}" "as root: apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${#missing[@]} Debian packages"
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    "${apt[@]}" update >>"$log" 2>&1 || die "apt-get update failed" "see $log; is the package mirror reachable?"
    local cluster=/etc/postgresql-common/createcluster.conf own=0
    if [[ " ${missing[*]} " == *" postgresql-15 "* ]] && packages_missing postgresql-common | grep -q .; then
        # Debian would make and start a cluster of its own beside ours: not for an installation that we asked for.
        "${apt[@]}" install --no-install-recommends postgresql-common >>"$log" 2>&1 &&
            sed -i 's/^#\?create_main_cluster = .*/create_main_cluster = false/' "$cluster" && own=1
    fi
    "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
        die "installing packages failed: ${missing[*]}" "see $log"
    ((own == 0)) || sed -i 's/^create_main_cluster = false/#create_main_cluster = true/' "$cluster"
}

# --- ports and processes ----------------------------------------------------------------------------------------------

port_busy() { # PORT : does anything listen there?
    local hex
    hex=$(printf ':%04X' "$1")
    awk -v p="$hex" '$4 == "0A" && substr($2, length($2) - 4) == p { found = 1 } END { exit !found }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Below 32768, where the kernel takes the ports of outgoing connections from: there a client that tries to reconnect to a
# server that is down may be given the server's own port, and talk to itself.
free_ports() { # N : that many numbers that nobody listens on
    local n=$1 port found=()
    while ((${#found[@]} < n)); do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000))
        [[ " ${found[*]} " == *" $port "* ]] || port_busy "$port" || found+=("$port")
    done
    echo "${found[*]}"
}

process_lives() { # PID WORD : the process exists and its command line has the word
    [[ $1 =~ ^[0-9]+$ ]] && { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF -- "$2"
}

process_stop() { # PID WORD SECONDS : asks, waits, and only then kills
    local pid=$1 word=$2 tenths=$(($3 * 10))
    process_lives "$pid" "$word" || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    while ((tenths-- > 0)); do
        process_lives "$pid" "$word" || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    return 1
}

process_start() { # WORD LOG COMMAND… : in a session of its own; the word is in its command line. Sets STARTED_PID
    local word=$1 log=$2 tries
    shift 2
    (exec setsid "$@" >>"$log" 2>&1 </dev/null 9>&-) &
    STARTED_PID=$!
    disown "$STARTED_PID"
    for ((tries = 0; tries < 100; tries++)); do # until it is the program and no longer this shell
        if ! kill -0 "$STARTED_PID" 2>/dev/null || process_lives "$STARTED_PID" "$word"; then return; fi
        sleep 0.01
    done
}

user_reaches() { # USER PATH : may that user enter the folder?
    setpriv --reuid="$1" --regid="$1" --init-groups test -x "$2" 2>/dev/null
}

limits_raise() { # as many file descriptors as we are allowed
    local most
    most=$(cat /proc/sys/fs/nr_open 2>/dev/null || echo 1048576)
    ((most <= 1048576)) || most=1048576
    ulimit -n "$most" 2>/dev/null || ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
}

memory_mib() { # of this machine, or of this control group when that is less
    local total limit
    total=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
    limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
    if [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1048576 < total)); then total=$((limit / 1048576)); fi
    echo "$total"
}

# --- the settings file: flat YAML, `name: value` -----------------------------------------------------------------------

setting_get() { # FILE NAME
    sed -nE "s/^$2: *//p" "$1" | tail -n 1 | sed -E 's/^"(.*)"$/\1/'
}

setting_put() { # FILE NAME VALUE : replaces the line or appends it
    local file=$1 name=$2 line
    line="$name: \"$3\""
    [[ ! $3 =~ ^[0-9]+$ ]] || line="$name: $3"
    [[ $(setting_get "$file" "$name") != "$3" ]] || return 0
    awk -v name="$name:" -v line="$line" '$1 == name { next } { print } END { print line }' "$file" >"$file.new"
    chmod --reference="$file" "$file.new"
    chown --reference="$file" "$file.new" 2>/dev/null || true
    mv "$file.new" "$file"
}

# --- a PostgreSQL of one's own: HOME/data, HOME/run (its socket), HOME/log ---------------------------------------------

# PostgreSQL refuses to run as root; root starts it as the user `postgres`.
postgres_do() { # COMMAND… : as PostgreSQL's user
    if ((EUID == 0)); then
        setpriv --reuid=postgres --regid=postgres --init-groups env -C / -i PATH="$PATH" HOME=/nonexistent LC_ALL=C "$@"
    else
        env -C / -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE LC_ALL=C "$@"
    fi
}

postgres_socket() { # HOME : the socket's folder; its path has room for 107 bytes only
    local run=$1/run
    if ((${#run} > 85)); then
        run=/tmp/signalbox-$EUID-$(printf %s "$1" | cksum | cut -d' ' -f1)
    fi
    echo "$run"
}

postgres_url() { echo "host=$(postgres_socket "$1") dbname=signalbox user=signalbox"; } # HOME

postgres_folder() { # PATH : made if need be, and PostgreSQL's own
    mkdir -p "$1"
    if ((EUID == 0)); then chown postgres: "$1"; fi
}

postgres_create() { # HOME MEMORY_MIB : a new, empty cluster for one database
    local home=$1 buffers=$(($2 / 8)) me
    me=$(id -un)
    ((buffers >= 64)) || buffers=64
    ((buffers <= 2048)) || buffers=2048
    rm -rf "$home/data.new"
    postgres_do "$POSTGRES_BIN/initdb" -D "$home/data.new" -U postgres --encoding=UTF8 --locale=C --data-checksums \
        --auth-local=peer --auth-host=reject >"$home/initdb.log" 2>&1 || return 1
    # Who is who is decided by the kernel: no password. Nothing but the local socket is listened on.
    printf 'local %s all peer map=own\n' all replication >"$home/data.new/pg_hba.conf"
    {
        local user
        for user in root signalbox postgres "$me"; do printf 'own %s postgres\nown %s signalbox\n' "$user" "$user"; done | sort -u
    } >"$home/data.new/pg_ident.conf"
    cat >>"$home/data.new/postgresql.conf" <<CONF

# signalbox: a commit that was answered is never lost.
fsync = on
full_page_writes = on
synchronous_commit = on
# Room for a stream of small commits.
listen_addresses = ''
max_connections = 100
shared_buffers = ${buffers}MB
effective_cache_size = $(($2 / 2))MB
wal_compression = lz4
default_toast_compression = lz4
max_wal_size = 4GB
min_wal_size = 256MB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
log_line_prefix = '%m [%p] '
CONF
    mv "$home/data.new" "$home/data"
}

postgres_running() { # HOME
    postgres_do "$POSTGRES_BIN/pg_ctl" -D "$1/data" status >/dev/null 2>&1
}

postgres_start() { # HOME MEMORY_MIB [SETTING=VALUE…] : made at the first start
    local home=$1 memory=$2 run option=""
    shift 2
    run=$(postgres_socket "$home")
    postgres_folder "$home"
    chmod 711 "$home"
    postgres_folder "$run"
    chmod 755 "$run"
    if ! [[ -s $home/data/PG_VERSION ]]; then
        postgres_create "$home" "$memory" || {
            tail -n 5 "$home/initdb.log" >&2
            return 1
        }
    fi
    if ! postgres_running "$home"; then
        local setting
        for setting; do option+=" -c $setting"; done
        postgres_do "$POSTGRES_BIN/pg_ctl" -D "$home/data" -l "$home/log" -w -t 120 \
            -o "-c unix_socket_directories='$run'$option" start >/dev/null 2>&1 </dev/null || {
            tail -n 5 "$home/log" >&2
            return 1
        }
    fi
    postgres_sql "$home" -tA -c "SELECT 1 FROM pg_database WHERE datname = 'signalbox'" | grep -qx 1 || {
        postgres_sql "$home" -c "CREATE ROLE signalbox LOGIN" >/dev/null &&
            postgres_sql "$home" -c "CREATE DATABASE signalbox OWNER signalbox" >/dev/null
    }
}

postgres_sql() { # HOME psql's arguments : as superuser
    local run
    run=$(postgres_socket "$1")
    shift
    postgres_do "$POSTGRES_BIN/psql" -X -q -h "$run" -U postgres -d postgres -v ON_ERROR_STOP=1 "$@"
}

postgres_stop() { # HOME [fast|immediate]
    postgres_running "$1" || return 0
    postgres_do "$POSTGRES_BIN/pg_ctl" -D "$1/data" -m "${2:-fast}" -w -t 60 stop >/dev/null 2>&1
}
