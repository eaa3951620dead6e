# SPDX-License-Identifier: GPL-2.0-or-later
"""Initramfs archives in the kernel's 'newc' format."""

import os
import stat


class Cpio:
    """One archive. The kernel takes several, one after the other."""

    def __init__(self):
        self.parts = []
        self.names = set()

    def folder(self, name):
        if name and name not in self.names:
            self.folder(os.path.dirname(name))
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data, mode=0o755):
        self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name, to):
        self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFLNK | 0o777, to.encode())

    def _add(self, name, mode, data):
        self.names.add(name)
        fields = [len(self.parts) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0,
                  0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields)
        head += name.encode() + b"\0"
        self.parts.append(head + b"\0" * (-len(head) % 4) + data +
                          b"\0" * (-len(data) % 4))

    def bytes(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self.parts)
