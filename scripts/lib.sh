# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# What every script here shares. Sourced with the top folder as argument 0's
# parent:  . "$(dirname "$0")/lib.sh"
#
# Afterwards: TOP, OUT, CACHE, LOG are absolute folders, and the tools are
# Debian's own, whatever else the PATH offers.

set -eu
PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH
LC_ALL=C.UTF-8
export PATH LC_ALL

TOP=$(cd "$(dirname "$0")/.." && pwd)
OUT=${OUT:-$TOP/out}
CACHE=$OUT/cache
LOG=$OUT/log
mkdir -p "$CACHE" "$LOG"

# A tree that belongs to somebody else, as in a container, is still ours.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory \
	GIT_CONFIG_VALUE_0="$TOP"

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

# key VALUE... : a short name for these inputs.
key() {
	printf '%s\n' "$@" | sha256sum | cut -c1-12
}

# tick PID TEXT: show that TEXT goes on while PID lives; on a terminal a line
# that counts, elsewhere a line every half minute.
tick() {
	t=0
	while sleep 1 && kill -0 "$1" 2>/dev/null; do
		t=$((t + 1))
		if [ -t 2 ]; then
			printf '\r\033[K%s: %d s ' "$2" "$t" >&2
		elif [ $((t % 30)) = 0 ]; then
			say "$2: $t s so far"
		fi
	done
}

# logged NAME TEXT COMMAND... : run COMMAND with its output in out/log/NAME.log
# and one line, TEXT, here. If it fails the end of the log follows.
logged() {
	name=$1
	text=$2
	shift 2
	say "$text"
	tick $$ "$text" &
	ticker=$!
	status=0
	# Not "if ( ... )": that would switch off set -e inside COMMAND.
	set +e
	(
		set -e
		"$@"
	) >"$LOG/$name.log" 2>&1
	status=$?
	set -e
	kill $ticker 2>/dev/null || :
	wait $ticker 2>/dev/null || :
	[ ! -t 2 ] || printf '\r\033[K' >&2
	[ $status = 0 ] && return 0
	tail -n 20 "$LOG/$name.log" | cut -c1-300 >&2
	die "$text: failed with status $status, all of it in $LOG/$name.log"
}

# filled DIR COMMAND... : make sure DIR exists; otherwise COMMAND fills a new
# folder, given as its last argument, that becomes DIR only when it is whole.
# Two fills of one DIR at once wait for each other.
filled() {
	dir=$1
	shift
	[ -d "$dir" ] && return 0
	mkdir -p "$(dirname "$dir")"
	exec 9>"$dir.lock"
	flock -n 9 || {
		say "${dir##*/}: waiting for another build of it"
		flock 9
	}
	if [ ! -d "$dir" ]; then
		rm -rf "$dir.part"
		mkdir "$dir.part"
		"$@" "$dir.part"
		mv "$dir.part" "$dir"
	fi
	exec 9>&-
	rm -f "$dir.lock"
}

# board NAME: check NAME, set BOARD, BOARD_DIR, BOARD_OUT, BOARD_CONF.
board() {
	BOARD=${1:-}
	[ -n "$BOARD" ] || die "usage: ${0##*/} BOARD"
	BOARD_DIR=$TOP/boards/$BOARD
	BOARD_CONF=$BOARD_DIR/board.conf
	BOARD_OUT=$OUT/$BOARD
	[ -f "$BOARD_CONF" ] || die "board '$BOARD': no $BOARD_CONF; known" \
		"boards: $(cd "$TOP/boards" && echo */board.conf |
			sed 's,/board.conf,,g')"
	mkdir -p "$BOARD_OUT"
}

# target NAME: the same for what needs only a kernel and modules: a board, or a
# machine of the kernel tests, whose short board file is in tests/vm/machines.
target() {
	[ -f "$TOP/tests/vm/machines/${1:-.}.conf" ] || {
		board "${1:-}"
		return
	}
	BOARD=$1
	BOARD_CONF=$TOP/tests/vm/machines/$BOARD.conf
	BOARD_OUT=$OUT/vm/$BOARD
	mkdir -p "$BOARD_OUT"
}

# conf KEY [DEFAULT]: the value of KEY in the board file, without quotes.
conf() {
	value=$(sed -n "s/^$1=//p" "$BOARD_CONF" | sed 's/^"\(.*\)"$/\1/')
	if [ -z "$value" ]; then
		[ $# -gt 1 ] || die "$BOARD_CONF: no value for $1"
		value=$2
	fi
	printf '%s\n' "$value"
}

# cross ARCH: the prefix of the compiler for a machine as Debian names it;
# nothing for this machine.
cross() {
	[ "$1" != "$(dpkg --print-architecture)" ] || return 0
	echo "$(dpkg-architecture -f -a"$1" \
		-qDEB_HOST_GNU_TYPE 2>/dev/null)-"
}

# kernel_arch ARCH: what the kernel calls a machine that Debian calls ARCH.
kernel_arch() {
	case $1 in
	amd64) echo x86_64 ;;
	armhf) echo arm ;;
	*) echo "$1" ;;
	esac
}

# as_root COMMAND...: with every file belonging to root, for us or in truth.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		fakeroot "$@"
	fi
}

# counted WORD FILE: the number before WORD, "passed" for one, in the last line
# of a log that counts tests; 0 without one.
counted() {
	n=$(grep -aE '[0-9] (passed|failed|error)' "$2" | tail -n 1 |
		sed -n "s/^\(.*[^0-9]\)\{0,1\}\([0-9][0-9]*\) $1.*/\2/p")
	echo "${n:-0}"
}

# stale RESULT INPUT...: is RESULT missing, or made from other inputs (files,
# by their contents) than these? If so, made RESULT says that it is new.
stale() {
	inputs=$(
		shift
		cat "$@" | sha256sum
	)
	[ ! -f "$1" ] || [ "$inputs" != "$(cat "$1.inputs" 2>/dev/null)" ]
}

made() {
	echo "$inputs" >"$1.inputs"
}

# run_bench PROGRAM: one of tests/bench that measures a target in a machine;
# BENCH=quick makes it quick.
run_bench() {
	case ${BENCH:-} in
	'' | quick) ;;
	*) die "BENCH '$BENCH': expected quick, or nothing" ;;
	esac
	"$TOP/scripts/kmod.sh" amd64
	"$TOP/scripts/bowline.sh" host
	exec python3 "$TOP/tests/bench/$1" ${BENCH:+"$BENCH"}
}
