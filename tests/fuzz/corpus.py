#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""corpus.py OURS: writes the part of corpus/ that is made: small devices of
the published writer, whole and with a restore of the published tool cut, and
the log blocks of them; and such of our own, made by the program OURS, which is
tests/bow/ours.c. The fuzzer's finds lie beside them."""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "bow"))
import published  # noqa: E402

SUMS, SEAL, SECTOR_4096, KEEP = 1, 2, 4, 8


class PlainNoise(random.Random):
    """Blocks of one byte each, so that the files stay small when packed."""

    def randbytes(self, n):
        return bytes([self.randrange(1, 256)]) * n


def device(seed, size, blocks):
    rng = PlainNoise(seed)
    shape = published.Shape(rng, size)
    shape.blocks = blocks
    shape.header_size = 28 if seed % 3 else 32
    shape.free = set(range(blocks // 3, blocks - 2))
    writer = published.Writer(rng, shape)
    writer.work()
    return writer


def save(kind, name, data):
    folder = HERE / "corpus" / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def save_device(name, switches, cut, image):
    save("device", name, bytes([switches, cut]) + bytes(image))


def cut_restore(image, steps):
    restorer = published.Restorer(image)
    restorer.load()
    image = restorer.image[:]
    for _ in zip(range(steps), restorer.steps()):
        if restorer.has_begun():
            image = restorer.image[:]
    return image


def save_ours(program):
    """Of tests/bow/ours.c: these use the space of backups again."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        for seed in range(8):
            size, blocks = [(512, 48), (1024, 24)][seed % 2]
            subprocess.run([program, str(40 + seed), str(size), str(blocks),
                            image, folder + "/begun", folder + "/free"],
                           check=True)
            save_device(f"ours-{size}-{seed}", KEEP, seed * 3,
                        image.read_bytes())


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OURS")
    save_ours(sys.argv[1])
    switches = [0, SUMS, SUMS | SEAL, SEAL | KEEP, KEEP]
    for seed in range(10):
        size, blocks = [(512, 64), (512, 40), (1024, 36), (4096, 9),
                        (2048, 18)][seed % 5]
        writer = device(seed, size, blocks)
        on = switches[seed % 5] | (SECTOR_4096 if size == 4096 else 0)
        save_device(f"published-{size}-{seed}", on, seed * 7 % 64,
                    writer.image)
        save("log", f"published-{size}-{seed}", bytes(writer.image[:size]))
        if seed < 5:
            save_device(f"restoring-{size}-{seed}", on, seed,
                        cut_restore(writer.image, 3 + seed * 5))


if __name__ == "__main__":
    main()
