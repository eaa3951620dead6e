# SPDX-License-Identifier: GPL-2.0-or-later
"""The checker itself, on bytes made by hand: a good log has no fault, and each
kind of damage is found and named."""

import struct

import pytest

import samples
from checker import check, crc32, crc32c

BLOCK = 512
BLOCKS = 64
FREE = [(32, 64)]

# A device of 64 sectors: sector n was full of the byte n when state 1 began.
# 5, the live block 0, and the backup of 5 were overwritten, in this order.


def begun():
    return b"".join(bytes([n]) * BLOCK for n in range(BLOCKS))


def header(count, sequence, sector0, size=28):
    return struct.pack("<4sHHIIIQ", b"BOW\0", 0x0100, size, BLOCK, count,
                       sequence, sector0)


def entry(source, dest, data, size=BLOCK):
    return struct.pack("<QQII", source, dest, size, crc32(source, data))


def move(source, dest):
    return struct.pack("<QQII", source, dest, BLOCK, 0)


def log_block(head, *entries):
    body = (head + b"".join(entries)).ljust(BLOCK - 4, b"\0")
    return body + struct.pack("<I", crc32c(body))


def put(device, sector, data):
    device[sector * BLOCK:sector * BLOCK + len(data)] = data


def fill(n):
    return bytes([n]) * BLOCK


def device(*changes):
    image = bytearray(begun())
    for sector, data in changes:
        put(image, sector, data)
    return image


def simple():
    """Block 0 backed up at 32, live at 33; 5 backed up at 34."""
    return device(
        (0, log_block(header(4, 0, 35), entry(0, 32, fill(0)),
                      entry(5, 34, fill(5)), move(33, 35),
                      entry(34, 36, fill(5)))),
        (32, fill(0)), (33, fill(99)), (35, fill(0)), (36, fill(5)),
        (5, fill(105)), (34, fill(98)))


def rolled():
    """The same with the log block of simple() copied to 40, then 7."""
    image = simple()
    first = bytes(image[:BLOCK])
    put(image, 40, first)
    put(image, 41, fill(7))
    put(image, 7, fill(107))
    put(image, 0, log_block(header(2, 1, 35), entry(0, 40, first),
                            entry(7, 41, fill(7))))
    return image


def faults(image, **options):
    options.setdefault("begun", begun())
    options.setdefault("free", FREE)
    return check(bytes(image), **options).faults


def test_known_answers_of_the_checksums():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32(0xFFFFFFFF, b"123456789") == 0xCBF43926 ^ 0xFFFFFFFF
    assert crc32(1, b"") == 1
    assert crc32(0, b"\x01") == 0x77073096


@pytest.mark.parametrize("make", [simple, rolled])
def test_a_good_log_has_no_fault(make):
    log = check(bytes(make()), begun(), FREE)
    assert log.faults == [] and log.needless == []
    assert log.restored()[:32 * BLOCK] == begun()[:32 * BLOCK]
    assert log.kept()[:BLOCK] == fill(0)
    assert log.live == 35
    assert len(log.blocks) == (1 if make is simple else 2)


def reseal(image):
    put(image, 0, image[:BLOCK - 4])
    put(image, 0, log_block(bytes(image[:BLOCK - 4])))


def edited(at, form, *values, make=simple, seal=True):
    image = make()
    struct.pack_into(form, image, at, *values)
    if seal:
        reseal(image)
    return image


def long_log(count=3, prev=2, prev_sector0=66):
    """A log block of 1024 bytes, with sums: blocks of two sectors. Its last
    write added entry 2, the move of the live block 0."""
    def state(n, sector0):
        return struct.pack("<4sHHIIIQ", b"BOW\0", 0x0100, 48, 1024, n, 0,
                           sector0)

    entries = [struct.pack("<QQII", 0, 64, 1024, crc32(0, fill(0) + fill(1))),
               struct.pack("<QQII", 6, 68, 1024, crc32(3, fill(6) + fill(7))),
               struct.pack("<QQII", 66, 70, 1024, 0)]
    before = crc32c(state(prev, prev_sector0) + b"".join(entries[:prev]))
    body = state(count, 70) + struct.pack(
        "<IIQI", crc32c(state(count, 70) + b"".join(entries[:count])), prev,
        prev_sector0, before) + b"".join(entries[:count])
    body = body.ljust(1020, b"\0")
    image = bytearray(begun() + bytes(64 * BLOCK))
    put(image, 0, body + struct.pack("<I", crc32c(body)))
    put(image, 64, fill(0) + fill(1))
    put(image, 68, fill(6) + fill(7))
    put(image, 70, fill(0) + fill(1))
    return image


def test_sums_of_a_block_that_can_tear():
    log = check(bytes(long_log()), None, [(64, 128)])
    assert log.faults == [] and log.live == 70
    assert any("header size 48" in f
               for f in check(bytes(long_log()), unit=1024).faults)
    for bad, text in ((long_log(prev=3), "prev_count 3 of 3"),
                      (long_log(prev=0), "just begun")):
        assert any(text in f for f in check(bytes(bad)).faults), text


@pytest.mark.parametrize("at,text", [(28, "the sum is"), (44, "prev_sum is"),
                                     (36, "prev_sum is")])
def test_a_wrong_sum_is_found(at, text):
    image = long_log()
    image[at] ^= 1
    body = bytes(image[:1020])
    put(image, 0, body + struct.pack("<I", crc32c(body)))
    assert any(text in fault for fault in check(bytes(image)).faults)


E = 28  # where the entries start
BAD = {
    "magic": edited(0, "<I", 0x11574F42),
    "version 0x101": edited(4, "<H", 0x0101),
    "header size 27": edited(6, "<H", 27),
    "block size 8192": edited(8, "<I", 8192),
    "count 0": edited(12, "<I", 0),
    "count 21": edited(12, "<I", 21),
    "follows log block 0": edited(16, "<I", 2, make=rolled),
    "is a log": edited(16, "<I", 0, make=rolled),
    "sector0 64 is outside": edited(20, "<Q", 64),
    "sector0 is 33, but the live block 0 is at 35": edited(20, "<Q", 33),
    "its size 513": edited(E + 24 + 16, "<I", 513),
    "its size 0": edited(E + 24 + 16, "<I", 0),
    "outside the device": edited(E + 24, "<Q", 64),
    "its backup is in block 0": edited(E + 32, "<Q", 0),
    "only entry 0 saves block 0": edited(E + 24, "<Q", 0),
    "overlaps its own backup": edited(E + 32, "<Q", 5),
    "entry 1: 512 bytes of sector 6 at 34: checksum": edited(E + 24, "<Q", 6),
    "the tail is": edited(508, "<I", 1, seal=False),
    "unused entry space": edited(300, "<I", 1),
    "log block 0: the tail": edited(40 * 512 + 508, "<I", 0, make=rolled),
    "checksum": edited(36 * 512, "<I", 1),
    "block 9 changed without a backup": edited(9 * 512, "<I", 1),
}


@pytest.mark.parametrize("text", BAD)
def test_damage_is_found_and_named(text):
    found = faults(BAD[text])
    assert any(text in fault for fault in found), found


def test_a_backup_may_not_go_to_what_was_in_use():
    image = device(
        (0, log_block(header(2, 0, 33), entry(0, 32, fill(0)),
                      entry(5, 20, fill(5)))),
        (32, fill(0)), (33, fill(0)), (20, fill(5)), (5, fill(105)))
    assert any("block 20, which was in use" in text
               for text in faults(image, begun=None))


def test_a_backup_may_not_go_over_another():
    image = device(
        (0, log_block(header(3, 0, 33), entry(0, 32, fill(0)),
                      entry(5, 34, fill(6)), entry(6, 34, fill(6)))),
        (32, fill(0)), (33, fill(0)), (34, fill(6)))
    found = faults(image, begun=None)
    assert any("holds another backup" in text for text in found), found
    assert "block 5 is not restored" in faults(image)[-1]


def test_a_backup_without_a_checksum_is_a_fault():
    image = edited(E + 24 + 20, "<I", 0)
    assert any("checksum 00000000, the live" in f for f in faults(image))
    assert check(bytes(image), published=True).faults == []


def test_a_backup_of_what_was_free_is_needless():
    image = simple()
    put(image, 37, fill(50))
    put(image, 0, log_block(header(2, 0, 33), entry(0, 32, fill(0)),
                            entry(50, 37, fill(50))))
    log = check(bytes(image), None, FREE)
    assert log.faults == [] and len(log.needless) == 1


def test_published_logs_may_have_no_tail_and_a_late_sector0():
    image = simple()
    put(image, 0, header(3, 0, 33) + bytes(image[28:28 + 72]) + b"\7" * 100)
    assert faults(image, published=True)
    put(image, 34, fill(5))
    assert faults(image, published=True) == []
    assert any("the tail" in f for f in faults(image))


@pytest.mark.parametrize("name", samples.GOOD)
def test_samples_are_good(name):
    log = check(samples.image(f"{name}.state1"),
                samples.image(f"{name}.atstate1"), samples.free(name),
                published=True)
    assert log.faults == []


@pytest.mark.parametrize("name", samples.BAD)
def test_bad_samples_are_bad(name):
    assert check(samples.image(f"{name}.state1"), published=True).faults


def test_a_sample_without_a_log_is_bad():
    assert check(samples.image("s4k.pristine"), published=True).faults
