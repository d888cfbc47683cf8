"""The owner of a ring in another language, with the standard library only: ctypes, mmap, threading.

It understands the same commands as `owner.rs`, and shares nothing else with it. Its records are the same: a number,
twice. Every tenth record is discarded, and a record without space in the ring is counted.
"""

import ctypes
import mmap
import platform
import struct
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MAP_CREATE, MAP_LOOKUP, PROG_LOAD, TEST_RUN, INFO = 0, 1, 5, 10, 15
ARRAY, RINGBUF, SOCKET_FILTER = 2, 27, 1
PAYLOAD = 16
PAGE = mmap.PAGESIZE


def bpf(command, attr):
    attr = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    answer = LIBC.syscall(BPF, command, attr, 128)
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return answer


def address(buffer):
    return ctypes.addressof(buffer)


def map_create(kind, key, value, entries, name):
    return bpf(MAP_CREATE, struct.pack("=7I16s", kind, key, value, entries, 0, 0, 0, name.encode()[:15]))


def op(code, to=0, source=0, offset=0, constant=0):
    return struct.pack("=BBhi", code, source << 4 | to, offset, constant)


def program(ring, state):
    """Returns the program of `sending_to_ring` in `programs.rs`."""
    def map_address(to, fd):
        return op(0x18, to, 1, 0, fd) + op(0)

    return b"".join([
        op(0x62, 10, 0, -4, 0), op(0xBF, 2, 10), op(0x07, 2, 0, 0, -4), map_address(1, state),
        op(0x85, constant=1),                                    # r0 = the map value
        op(0x55, 0, 0, 2, 0), op(0xB7), op(0x95),
        op(0xBF, 6, 0), op(0x79, 7, 6, 0),                       # r7 = the next number
        map_address(1, ring), op(0xB7, 2, constant=PAYLOAD), op(0xB7, 3),
        op(0x85, constant=131),                                  # bpf_ringbuf_reserve
        op(0x55, 0, 0, 5, 0),
        op(0x79, 1, 6, 8), op(0x07, 1, constant=1), op(0x7B, 6, 1, 8), op(0xB7), op(0x95),  # lost += 1
        op(0x7B, 0, 7, 0), op(0x7B, 0, 7, 8),                    # the number, twice
        op(0xBF, 8, 7), op(0x97, 8, constant=10),
        op(0x07, 7, constant=1), op(0x7B, 6, 7, 0),              # next = r7 + 1
        op(0xBF, 1, 0), op(0xB7, 2),
        op(0x15, 8, 0, 3, 9),
        op(0x85, constant=132), op(0xB7), op(0x95),              # bpf_ringbuf_submit
        op(0x85, constant=133), op(0xB7), op(0x95),              # bpf_ringbuf_discard
    ])


class Ring:
    def __init__(self, name, size):
        self.size = size
        self.map = map_create(RINGBUF, 0, 0, size, name)
        self.state = map_create(ARRAY, 4, 16, 1, "numbers")
        code = ctypes.create_string_buffer(program(self.map, self.state))
        license = ctypes.create_string_buffer(b"GPL")
        attr = struct.pack("=IIQQ", SOCKET_FILTER, (len(code) - 1) // 8, address(code), address(license))
        self.program = bpf(PROG_LOAD, attr.ljust(48, b"\0") + b"send_to_ring")
        self.packet = ctypes.create_string_buffer(64)
        self.consumer = memoryview(mmap.mmap(self.map, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)).cast("Q")
        pages = mmap.mmap(self.map, PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE)
        self.words, self.halves = memoryview(pages).cast("Q"), memoryview(pages).cast("I")
        self.records = self.next = self.gaps = 0

    def id(self):
        info = ctypes.create_string_buffer(80)
        bpf(INFO, struct.pack("=IIQ", self.map, 80, address(info)))
        return struct.unpack_from("=I", info, 4)[0]

    def produce(self, count):
        if count:
            bpf(TEST_RUN, struct.pack("=IIIIQQI", self.program, 0, 64, 0, address(self.packet), 0, count))

    def lost(self):
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(16)
        bpf(MAP_LOOKUP, struct.pack("=IIQQ", self.state, 0, address(key), address(value)))
        return struct.unpack("=QQ", value.raw)[1]

    def consume(self):
        while self.words[0] != self.consumer[0]:
            position = self.consumer[0]
            at = PAGE + position % self.size
            length = self.halves[at // 4]
            if length >> 31:
                return
            if not length >> 30:
                if self.next % 10 == 9:
                    self.next += 1
                first, second = self.words[at // 8 + 1], self.words[at // 8 + 2]
                self.gaps += length != PAYLOAD or (first, second) != (self.next, self.next)
                self.records += 1
                self.next = first + 1
            self.consumer[0] = position + ((length & 0x3FFFFFFF) + 7) // 8 * 8 + 8

    def load(self, seconds):
        end = time.monotonic() + seconds

        def send():
            burst = 0
            while time.monotonic() < end:
                burst = burst % 97 + 1
                self.produce(burst)

        sender = threading.Thread(target=send)
        sender.start()
        while sender.is_alive():
            self.consume()
        self.consume()


def main():
    ring = Ring(sys.argv[1], int(sys.argv[2]))
    print("ready", ring.id(), flush=True)
    for line in sys.stdin:
        verb, _, number = line.strip().partition(" ")
        if verb == "produce":
            ring.produce(int(number))
            print("produced", number, flush=True)
            continue
        if verb == "load":
            ring.load(int(number))
        else:
            ring.consume()
        print("consumed", ring.records, "next", ring.next, "gaps", ring.gaps, "lost", ring.lost(), flush=True)


main()
