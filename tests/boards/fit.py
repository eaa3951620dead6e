# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot slot images for tests, made as scripts/fit.sh makes the real ones."""

import gzip
import struct
import subprocess

ITS = """\
/dts-v1/;
/ {
	description = "test";
	#address-cells = <1>;
	images {
		kernel {
			data = /incbin/("kernel");
			type = "kernel"; arch = "arm64"; os = "linux";
			compression = "gzip";
			load = <0x40400000>; entry = <0x40400000>;
			hash { algo = "sha256"; };
		};
		initramfs {
			data = /incbin/("initramfs");
			type = "ramdisk"; arch = "arm64"; os = "linux";
			compression = "none";
			hash { algo = "sha256"; };
		};
	};
	configurations {
		default = "conf";
		conf { kernel = "kernel"; ramdisk = "initramfs"; };
	};
};
"""


def make(folder, kernel, initramfs):
    """The bytes of an image of these two."""
    (folder / "kernel").write_bytes(gzip.compress(kernel, 1))
    (folder / "initramfs").write_bytes(initramfs)
    (folder / "slot.its").write_text(ITS)
    subprocess.run(["mkimage", "-f", "slot.its", "slot.itb"], cwd=folder,
                   check=True, stdout=subprocess.DEVNULL)
    return (folder / "slot.itb").read_bytes()


def hanging_kernel():
    """An arm64 kernel image whose first instruction jumps to itself."""
    jump, anywhere = 0x14000000, 0xA
    header = struct.pack("<IIQQQ", jump, 0, 0, 4096, anywhere)
    return (header.ljust(56, b"\0") + b"ARM\x64").ljust(4096, b"\0")
