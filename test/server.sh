# shellcheck shell=bash
#
# server.sh
#	  What the examples and the tests share: Debian packages, finding
#	  PostgreSQL, private servers, and checks.  To be sourced.
#
# A private server has its data in DIR/data and its socket and log in DIR; it
# listens nowhere else, so any number of them live side by side.  It runs as
# the invoking user, or as "postgres" when that is root: PostgreSQL refuses to.

say() { printf "%s\n" "$@"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# Run as root: directly or through sudo.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "This needs root, and there is no sudo: $*"
	fi
}

# Run as the user that owns servers, in a directory that user can read.
as_server()
{
	if [ "$(id -u)" = 0 ]; then
		runuser -u postgres -- env HOME=/tmp "$@"
	else
		"$@"
	fi
}

# The directory belongs to the user of servers, and to nobody else.
give_to_server()
{
	chmod 700 "$1"
	if [ "$(id -u)" = 0 ]; then
		chown -R postgres: "$1"
	fi
}

# need_packages NAME...: install the Debian packages that are not there yet.
need_packages()
{
	local name missing=() log
	for name; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
			missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	command -v apt-get >/dev/null ||
		die "Please install what these Debian packages contain: ${missing[*]}"
	say "Installing ${missing[*]} ..."
	log=$(mktemp)
	if ! { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o DPkg::Lock::Timeout=300 \
		--no-install-recommends install "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "The packages could not be installed."
	fi
	rm -f "$log"
}

# Set PG_CONFIG, unless given, to that of the newest server installed;
# PG_BIN to its programs and PG_MAJOR to its version.  Installs the server and
# what is needed to build extensions for it.
need_postgres()
{
	if [ -z "${PG_CONFIG:-}" ]; then
		newest_server >/dev/null || need_packages postgresql
		PG_MAJOR=$(newest_server) || die "No PostgreSQL server was found."
		need_packages "postgresql-server-dev-$PG_MAJOR" gcc libc6-dev make
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	fi
	PG_BIN=$("$PG_CONFIG" --bindir) || die "$PG_CONFIG does not work."
	PG_MAJOR=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	[ "$PG_MAJOR" -ge 15 ] || die "ann needs PostgreSQL 15 or newer; $PG_CONFIG is of $PG_MAJOR."
	export PG_CONFIG
}

newest_server()
{
	find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null |
		sed -n 's,^/usr/lib/postgresql/\([0-9]*\)/bin/postgres$,\1,p' | sort -n | tail -n 1 | grep .
}

# copy_postgres ROOT: the installation of PG_CONFIG once more, below ROOT, where
# extensions can be installed with "make install DESTDIR=ROOT" and nobody else
# sees them.  Prints the directory of its programs.
copy_postgres()
{
	local what
	for what in bindir pkglibdir sharedir; do
		what=$("$PG_CONFIG" --$what | grep .) || die "$PG_CONFIG does not work."
		mkdir -p "$1$what"
		cp -R "$what/." "$1$what"
	done
	say "$1$("$PG_CONFIG" --bindir)"
}

# copy_tree FROM TO: the sources without what a build or a test run left there.
copy_tree()
{
	mkdir -p "$2"
	tar -C "$1" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude=./results --exclude=./output_iso --exclude=tmp_check \
		--exclude='./regression.*' --exclude=./test/unit/build -cf - . | tar -C "$2" -xf -
}

# start_server DIR [SETTING=VALUE ...]: create it if need be, and start it.
# DIR must be short (a socket's path has 107 bytes) and owned by the user of
# servers.
start_server()
{
	local dir=$1 setting
	shift
	if [ ! -f "$dir/data/ready" ]; then
		as_server rm -rf "$dir/data"
		as_server "$PG_BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 \
			--no-locale --no-sync >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; return 1; }
		for setting in "listen_addresses=''" port=5432 "unix_socket_directories='$dir'" \
			unix_socket_permissions=0700 fsync=off "$@"; do
			say "$setting"
		done | as_server tee -a "$dir/data/postgresql.conf" >/dev/null
		as_server touch "$dir/data/ready"
	fi
	server_runs "$dir" ||
		as_server "$PG_BIN/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -s start ||
		{ tail -n 20 "$dir/server.log" >&2; return 1; }
}

server_runs()
{
	as_server "$PG_BIN/pg_ctl" -D "$1/data" status >/dev/null 2>&1
}

# stop_server DIR: at once, which is all a throw-away server deserves.
stop_server()
{
	if server_runs "$1"; then
		as_server "$PG_BIN/pg_ctl" -D "$1/data" -m immediate -w -s stop
	fi
}

# check NAME COMMAND...: one line of TAP, by the command's status.  In the end,
# "checked" says how many there were, and fails if one did.
checks=0
failures=0
check()
{
	local name=$1
	shift
	checks=$((checks + 1))
	if "$@"; then
		say "ok $checks - $name"
	else
		say "not ok $checks - $name"
		failures=$((failures + 1))
	fi
}

checked()
{
	say "1..$checks"
	[ $failures = 0 ]
}
