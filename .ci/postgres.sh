#!/bin/sh
# A throw-away PostgreSQL server for the tests, on a free loopback port.
#
#   folder=$(mktemp -d)
#   ODIBI_TEST_POSTGRES_URL="$(.ci/postgres.sh start "$folder" | tail -n 1)" pytest
#   .ci/postgres.sh stop "$folder"
#
# Prints the server's SQLAlchemy URL as the last line on stdout.
# Debian's postgresql is installed when there is none (needs root).
set -eu
action=$1
folder=$2

server_bin() {
    for initdb in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
        if [ -x "$initdb" ]; then
            dirname "$(readlink -f "$initdb")"
            return
        fi
    done
}

bin=$(server_bin)
if [ -z "$bin" ]; then
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql >&2
    bin=$(server_bin)
fi

# PostgreSQL refuses to run as root.
as_postgres=""
if [ "$(id -u)" -eq 0 ]; then
    as_postgres="runuser -u postgres --"
    chown postgres: "$folder"
fi
cd "$folder"

if [ "$action" = stop ]; then
    $as_postgres "$bin/pg_ctl" -D "$folder/data" -m immediate stop >&2
    exit
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && printf '%s\n' "$password" > "$folder/password")
[ -z "$as_postgres" ] || chown postgres: "$folder/password"

$as_postgres "$bin/initdb" -D "$folder/data" -U odibi -E UTF8 --locale=C.UTF-8 \
    --auth=scram-sha-256 --pwfile="$folder/password" >&2
# Nothing in it is worth surviving a power cut.
$as_postgres "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w \
    -o "-h 127.0.0.1 -p $port -k $folder -c fsync=off -c full_page_writes=off" start >&2

echo "postgresql+psycopg://odibi:$password@127.0.0.1:$port/postgres"
