# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a person can run. 'make help' is the list; each target calls a script.

BOARD ?= qemu-arm64
export BOARD

help: ## this list
	@echo "Bowline: safe updates for embedded Linux with U-Boot"
	@echo
	@awk -F":.*## " "/^[a-z-]+:.*## / { printf \"  make %-12s %s\\n\", \$$1, \$$2 }" Makefile
	@echo
	@echo "BOARD=$(BOARD); boards: $(notdir $(patsubst \
		%/board.conf,%,$(wildcard boards/*/board.conf)))"

demo: deps ## the whole story on an emulated board, checked from outside
	@scripts/demo.sh $(BOARD)

test: deps ## every test, with counts
	@scripts/test.sh

test-bow: deps ## all that is known about the bow target, an hour or more
	@scripts/test-bow.sh

test-update: deps ## all that is known about the update target, an hour
	@scripts/test-update.sh

test-bundle: deps ## all that is known about bundles and installing them
	@scripts/test-bundle.sh

bench-bow: deps ## speed of the bow target into docs/; BENCH=quick: into out/
	@scripts/bench-bow.sh

bench-update: deps ## speed of the update target into docs/; BENCH=quick: into out/
	@scripts/bench-update.sh

bench-diff: deps ## sizes of update diffs into docs/; BENCH=cached measures none
	@scripts/bench-diff.sh

check: deps ## style and warnings of C, shell and documentation
	@scripts/check.sh

mutants: deps ## break what must never break, see the tests notice
	@tests/mutants.sh

host: deps ## out/host/bowline, the program for this machine
	@scripts/bowline.sh host

kmod: deps ## out/BOARD/kmod/, the two device-mapper targets
	@scripts/kmod.sh $(BOARD)

uboot: deps ## out/BOARD/u-boot.bin, with the boot script
	@scripts/uboot.sh $(BOARD)

initramfs: deps ## out/BOARD/initramfs-1.cpio.zst, with bowline and modules
	@scripts/initramfs.sh $(BOARD) 1

image: deps ## out/BOARD/disk.img, system images and the signed update
	@scripts/image.sh $(BOARD)

run: image ## boot the image on this terminal
	@scripts/run.sh $(BOARD)

sizes: deps ## sizes of what goes onto the device, memory of install
	@scripts/sizes.sh $(BOARD)

deps: ## install the Debian packages that are missing
	@scripts/deps.sh

clean: ## remove everything built; downloads stay in out/cache
	@scripts/clean.sh

.PHONY: help demo test bench-bow bench-update bench-diff test-bow test-bundle \
	test-update check mutants host kmod uboot initramfs image run sizes deps \
	clean
