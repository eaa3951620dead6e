#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# mutants.sh [-n] [NAME...]: do the tests notice? Eight things that must never break
# are broken here one by one, in a copy of the tree, each in the place that
# decides and in the place that acts; the fastest test that must notice runs.
# Each of those tests passes on the unbroken copy first. -n only looks whether
# there still is something to break in all the places.
set -eu
. "$(dirname "$0")/../scripts/lib.sh"

WORK=$OUT/mutants
TREE=$WORK/tree
killed=0
survived=0

# ---- a copy of the tree ----

# What is the same stays untouched, so that only mutants are compiled again.
copy() {
	mkdir -p "$TREE/out"
	ln -sfn "$OUT/sandbox" "$TREE/out/sandbox"
	cd "$TOP"
	git ls-files -co --exclude-standard | sort >"$WORK/files"
	while read -r file; do
		cmp -s "$file" "$TREE/$file" || cp -p --parents "$file" "$TREE"
	done <"$WORK/files"
	cd "$TREE"
	find . -type f ! -path './out/*' | sed 's,^\./,,' | sort |
		comm -23 - "$WORK/files" | xargs -r rm -f
}

# ---- what must notice ----

# unit PROGRAM [TEST], cut PROGRAM TEST: one test of a program, or all.
unit() {
	program unit "$@"
}

cut() {
	program cut "$@"
}

# A status of its own for what cannot be compiled.
program() {
	make -s -C "$TREE/tests/$1" O="$WORK/$1" CURL="$OUT/curl" \
		"$WORK/$1/$2" || return 3
	if [ -n "${3:-}" ]; then
		TEST=$3 timeout 300 "$WORK/$1/$2"
	else
		timeout 300 "$WORK/$1/$2"
	fi
}

# The boot script under U-Boot's sandbox, against its model.
script() {
	(cd "$TREE" && timeout 300 python3 -m pytest -q -p no:cacheprovider \
		"tests/uboot/test_script.py::$1")
}

# ---- the mutants ----

# mutant NAME FILE SED TEST...
mutant() {
	name=$1
	file=$2
	change=$3
	shift 3
	wanted "$name" || return 0
	sed "$change" "$TOP/$file" >"$WORK/mutant"
	if cmp -s "$WORK/mutant" "$TOP/$file"; then
		echo "mutant $name: SURVIVED, its line in $file is gone"
		survived=$((survived + 1))
		return 0
	fi
	[ $dry = no ] || return 0
	unbroken "$@"
	cat "$WORK/mutant" >"$TREE/$file"
	status=0
	"$@" >"$LOG/mutant-$name.log" 2>&1 || status=$?
	cat "$TOP/$file" >"$TREE/$file"
	case $status in
	0)
		echo "mutant $name: SURVIVED $*"
		survived=$((survived + 1))
		;;
	3) die "mutant $name: does not compile, see $LOG/mutant-$name.log" ;;
	*)
		echo "mutant $name: killed by $*"
		killed=$((killed + 1))
		;;
	esac
}

wanted() {
	[ -n "$names" ] || return 0
	case " $names " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# unbroken TEST...: it passes on the tree as it is; asked once for each test.
unbroken() {
	if grep -qxF "$*" "$WORK/passed"; then
		return 0
	fi
	"$@" >"$LOG/mutant-none.log" 2>&1 ||
		die "'$*' fails without any mutant, see $LOG/mutant-none.log"
	echo "$*" >>"$WORK/passed"
}

dry=no
if [ "${1:-}" = -n ]; then
	dry=yes
	shift
fi
names=$*
mkdir -p "$WORK"
if [ $dry = no ]; then
	: >"$WORK/passed"
	"$TOP/scripts/uboot.sh" sandbox
	copy
fi

# The restore before a trial attempt.
mutant restore-not-planned updater/state.c \
	's/STEP_RECORD_ATTEMPT, STEP_UNDO,/STEP_RECORD_ATTEMPT,/' \
	unit t-state
mutant restore-not-done updater/boot.c \
	's/: change_data(boot, bow_restore);/: 0;/' \
	cut t-chain one_cut_in_a_bad_update

# The single store per transition.
mutant store-split updater/env.c '/^static int store(struct env/,/^}/{
	s/if (env_backend->store(pairs, n)/for (size_t i = 0; i < n; i++)\n\
		if (env_backend->store(\&pairs[i], 1))\n\
			return -1;\n\
	if (0/
	}' \
	cut t-chain environment_stores_are_few
mutant store-twice updater/boot.c \
	's/return env_store_rollback(&boot->env, last);/return env_store_rollback(\&boot->env, last) || env_store_rollback(\&boot->env, last);/' \
	cut t-chain environment_stores_are_few

# The attempt counter.
mutant counter-not-lowered uboot-env/bowline.env \
	's/setexpr BOOT_${bl_slot}_LEFT ${bl_left} - 1/setexpr BOOT_${bl_slot}_LEFT ${bl_left} - 0/' \
	script test_hostile_values
mutant counter-not-stored uboot-env/bowline.env \
	's/if run bowline_store;/if true;/' \
	script test_hostile_values
mutant counter-not-read uboot-env/bowline.env \
	's/if test ${bl_left} != 0 -a ${bl_left} != none;/if true;/' \
	script test_hostile_values
mutant counter-model updater/slots.c \
	's/step->left = left - 1;/step->left = left;/' \
	unit t-state

# no_bg_update in a trial.
mutant merge-in-trial updater/machine.c \
	's/if (mode == SYSTEM_TRIAL)/if (mode != SYSTEM_TRIAL)/' \
	unit t-machine trial_writes_nothing
mutant merge-planned updater/state.c \
	's/STEP_UNDO, STEP_SYSTEM_TRIAL,/STEP_UNDO, STEP_SYSTEM_MERGE,/' \
	unit t-state

# The drop of the data log after a commit.
mutant log-kept-by-commit updater/live.c 's/machine->release_data() ||/0 ||/' \
	cut t-chain one_cut_in_a_good_update
mutant log-drop-not-planned updater/state.c \
	's/{ STEP_RECORD_COMMIT, STEP_KEEP, MERGE }/{ STEP_RECORD_COMMIT, MERGE }/' \
	unit t-state
mutant log-kept-by-boot updater/boot.c \
	's/int r = change_data(boot, bow_keep);/int r = 0;/' \
	cut t-chain one_cut_in_a_good_update

# The damaged data log: never mounted as it is, never silent.
mutant damaged-mounted updater/boot.c \
	's/return !only_system ||/return true ||/' \
	cut t-chain damaged_log_stops
mutant damaged-untold updater/boot.c \
	's/if (stage_note(boot->board.stage, &boot->rec))$/if (0)/' \
	cut t-chain salvage_may_be_cut
mutant damaged-overwritten updater/bow-plan.c \
	's/if (!has_conflict(p))$/if (!has_conflict(p) || 1)/' \
	unit t-bow-restore "writer's log"

# The signature check.
mutant signature-not-asked updater/install-check.c \
	's/if (verify_signature(/if (0 \&\& verify_signature(/' \
	unit t-install "the signature is of this manifest by a trusted key"
mutant signature-always-good updater/verify.c \
	's/result = try_keys(folder, &sig, &tally);/result = try_keys(folder, \&sig, \&tally) | 1;/' \
	unit t-verify "another text is refused"

# The merge of a diff of format 1: old bytes stay until nothing needs them.
mutant merge-before-data updater/apply.c \
	's/dev_flush(m->old.system) || dev_flush(m->old.stage))/dev_flush(m->old.stage))/' \
	unit t-apply "every cut in place is survived"
mutant merge-not-saved updater/apply.c \
	's/write_saves(m, epoch + 1) ||/0 ||/' \
	unit t-apply "every cut in place is survived"
mutant merge-save-forgotten kmod/dm-update-v1.c \
	's/done <= s->last;/done < s->last;/' \
	unit t-update-merge "every cut of a random schedule is survived"
mutant merge-one-record kmod/dm-update-v1-merge.c \
	's/p->slot = !p->slot;/p->slot = 0;/' \
	unit t-update-merge "every cut of a random schedule is survived"
mutant merge-not-proven updater/apply-check.c \
	's/|| s.last < reader)/)/' \
	unit t-apply "each wrong order is refused for its reason"
mutant merge-bad-chunk kmod/dm-update-v1-chunk.c \
	's/!= chunk->pieces\[i\]\.crc)$/!= chunk->pieces[i].crc \&\& 0)/' \
	unit t-update-v1 "each damaged byte of a chunk is found"

echo "$killed killed, $survived survived"
[ $survived = 0 ]
