#!/bin/sh
#
# scripts.sh
#	  The scripts of the extensions ann and vector, made from one.
#
#	  install/scripts.sh create NAME    for CREATE EXTENSION NAME
#	  install/scripts.sh migrate        for ALTER EXTENSION vector UPDATE
#
# Reads the commands from standard input and writes what PostgreSQL is to find.

set -eu

dir=$(dirname "$0")

# in_place_of TEMPLATE: the template, with standard input for its @script@.
in_place_of()
{
	sed -e '/^@script@$/{
		r /dev/stdin
		d
	}' "$1"
}

# What is there may stay, but functions and views are replaced.
if_missing()
{
	awk '
		/^--|^\\|^$/ && statement == "" { next }
		{ statement = statement $0 "\n" }
		/;$/ {
			if (!sub(/^CREATE FUNCTION/, "CREATE OR REPLACE FUNCTION", statement) &&
				!sub(/^CREATE AGGREGATE/, "CREATE OR REPLACE AGGREGATE", statement) &&
				!sub(/^CREATE VIEW/, "CREATE OR REPLACE VIEW", statement) &&
				statement ~ /^CREATE/)
				statement = "DO $if$ BEGIN\n" statement \
					"EXCEPTION WHEN duplicate_object OR duplicate_function THEN\nEND $if$;\n"
			print statement
			statement = ""
		}'
}

case $1 in
	create) in_place_of "$dir/create.sql" | sed "s/@name@/$2/" ;;
	migrate) if_missing | in_place_of "$dir/migrate.sql" ;;
esac
