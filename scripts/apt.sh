#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# apt.sh SET ARCH TOOL ARGUMENT...
#
# Runs apt's TOOL (apt-get, apt-cache) for another machine, ARCH, on lists of
# its own in out/cache, so that the host's apt stays as it is: adding an
# architecture there makes every update fail while a mirror is in a sync.
#
# SET is 'release' (the suite as it was released) or 'updates' (with the
# suite's security and other updates). Lists are fetched when they are missing
# or a day old; without a network, old ones serve.
set -eu
. "$(dirname "$0")/lib.sh"

[ $# -ge 3 ] || die "usage: apt.sh release|updates ARCH TOOL ARGUMENT..."
SET=$1
ARCH=$2
shift 2
SUITE=${SUITE:-bookworm}
NATIVE=$(dpkg --print-architecture)
STATE=$CACHE/apt-$SUITE-$SET-$ARCH
mkdir -p "$STATE"
STATE=$(cd "$STATE" && pwd -P)

# mirror SUITE FALLBACK: where the host gets SUITE from.
mirror() {
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
		'Created-By: Packages' 'Component: main' 2>/dev/null |
		awk -v suite="$1" -v uri="$2" '
			$1 == suite { uri = $2 }
			END { print uri }'
}

source_line() {
	printf 'deb%s [%ssigned-by=%s] %s %s main\n' "$1" "$2" \
		/usr/share/keyrings/debian-archive-keyring.gpg "$4" "$3"
}

sources_for() {
	source_line '' "arch=$ARCH,$NATIVE " "$1" "$2"
	source_line -src '' "$1" "$2"
}

sources() {
	main=$(mirror "$SUITE" http://deb.debian.org/debian/)
	sources_for "$SUITE" "$main"
	[ "$SET" = updates ] || return 0
	sources_for "$SUITE-updates" "$main"
	sources_for "$SUITE-security" "$(mirror "$SUITE-security" \
		http://deb.debian.org/debian-security/)"
}

configuration() {
	cat <<-END
	Dir::Etc::SourceList "$STATE/sources.list";
	Dir::Etc::SourceParts "-";
	Dir::State "$STATE/state";
	Dir::State::status "$STATE/status";
	Dir::Cache "$STATE/cache";
	Dir::Cache::pkgcache "pkgcache.bin";
	Dir::Cache::srcpkgcache "srcpkgcache.bin";
	APT::Architecture "$ARCH";
	APT::Architectures { "$ARCH"; "$NATIVE"; };
	APT::Get::List-Cleanup "true";
	APT::Install-Recommends "false";
	APT::Sandbox::User "";
	APT::Update::Post-Invoke-Success "";
	APT::Update::Post-Invoke "";
	Acquire::Retries "5";
	Acquire::Languages "none";
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	#clear DPkg::Post-Invoke;
	END
}

# The configuration names its own place: a cache that was moved gets a new one.
configure() {
	configuration >"$STATE/apt.conf.new"
	if cmp -s "$STATE/apt.conf.new" "$STATE/apt.conf"; then
		rm "$STATE/apt.conf.new"
	else
		mv "$STATE/apt.conf.new" "$STATE/apt.conf"
	fi
}

prepare() {
	mkdir -p "$STATE/state/lists/partial" "$STATE/cache/archives/partial"
	sources >"$STATE/sources.list"
	[ -f "$STATE/status" ] || : >"$STATE/status"
}

fresh() {
	[ -n "$(find "$STATE/updated" -mmin -1440 2>/dev/null)" ]
}

update() {
	fresh && return 0
	say "package lists: $SUITE ($SET) for $ARCH"
	prepare
	if apt-get -c "$STATE/apt.conf" -q --error-on=any update >"$LOG/apt-$SET-$ARCH.log" 2>&1; then
		touch "$STATE/updated"
	elif [ -f "$STATE/updated" ]; then
		say "package lists: no update possible, using the old ones"
	else
		tail -n 20 "$LOG/apt-$SET-$ARCH.log" >&2
		die "cannot fetch the package lists of $SUITE for $ARCH"
	fi
}

[ "$SET" = release ] || [ "$SET" = updates ] ||
	die "set '$SET': expected release or updates"
locked_update() {
	(
		flock 8
		configure
		update
	) 8>"$STATE/lock"
}

# By option, not by APT_CONFIG: only so it has the last word over the host's.
run() {
	tool=$1
	shift
	"$tool" -c "$STATE/apt.conf" "$@"
}

locked_update
run "$@" && exit 0
# A package that is gone from the mirror has a successor in newer lists.
[ "$1" = apt-get ] || exit 1
rm -f "$STATE/updated"
locked_update
run "$@"
