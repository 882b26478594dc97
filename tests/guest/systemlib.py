"""The guest kernel's upper half as a library of the host: system calls without a machine.

Everything above the processor is real: the address space, the heap, files, the ELF loader. The
program's memory lies behind simulated page tables, and the test is the host at the doorbell.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cffi import FFI

from guest.build import GUEST
from tests.guest import hostlib
from tests.guest.hostlib import FREE, PAGE

SOURCES = (
    *hostlib.SOURCES,
    *("lib/text.c", "lib/chacha20.c"),
    *("drivers/hwrng.c", "drivers/virtqueue.c"),
    *(str(path.relative_to(GUEST)) for path in sorted((GUEST / "drivers").glob("virtio_*.c"))),
    *(
        str(path.relative_to(GUEST))
        for directory in ("file", "net", "process", "service")
        for path in sorted((GUEST / directory).rglob("*.c"))
    ),
)

ffi = FFI()
ffi.cdef(
    hostlib.CDEF
    + """
struct host_state {
    uint64_t entry; uint64_t sp; int exit_status; int exit_reason; char message[1024];
    uint64_t time; uint64_t idles; uint32_t terminals;
    const uint8_t *input; size_t input_length; bool input_ends;
    size_t output_length[4]; uint8_t output[4][65536];
};
extern struct host_state host;
void host_start(void);
int64_t host_call(uint64_t number, const uint64_t *arguments);
void host_set_bootinfo(const char *command_line_text, const char *arguments, size_t length,
                       uint32_t argc, uint32_t envc);
int host_copy_in(void *to, uint64_t from, size_t length);
int host_copy_out(uint64_t to, const void *from, size_t length);
struct elf_image {
    uint64_t entry; uint64_t base; uint64_t end; uint64_t headers; uint16_t header_count;
};
int host_load_elf(const void *data, size_t length, struct elf_image *image, const char **problem);
void chacha20_block(const uint32_t *key, uint32_t counter, const uint32_t *nonce, uint32_t *block);
"""
)

PROGRAM, INITRD = 5, 6
FEATURES = hostlib.ZEROED_RAM | 1  # and a doorbell
AT_FDCWD = -100
FIONREAD = 0x541B
SPLICE_F_NONBLOCK = 2
NOT_RETURNED = -(1 << 63)

# Where things are in "physical" memory.
RAM = 1 << 20
PROGRAM_AT = 1 << 28
INITRD_AT = 1 << 29
STRINGS_AT = 1 << 30

# The program's memory that calls exchange data through.
ARENA = 0x10_0000_0000
ARENA_SIZE = 1 << 20

# x86_64's numbers, by name.
NUMBERS = {
    name: int(number)
    for name, number in re.findall(
        r"^(?:LEGACY_)?SYSCALL\((\w+), (\d+)", (GUEST / "process/syscalls.def").read_text(), re.M
    )
}


class Stat(NamedTuple):
    """What stat tells, as far as it can be compared with another machine."""

    mode: int
    links: int
    user: int
    group: int
    size: int
    blocks: int
    device: int


class Ended(Exception):
    """The system call did not return: the program ended, or waits for ever."""


class System:
    """One kernel. Methods are named and shaped as in `os`; errors are OSError."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self._input: Any = None

    def call(self, name: str | int, *arguments: int) -> int:
        """Make a system call by name or number; its result, or OSError."""
        number = NUMBERS[name] if isinstance(name, str) else name
        words = [argument & (1 << 64) - 1 for argument in arguments]
        result = int(self.lib.host_call(number, words + [0] * (6 - len(words))))
        if result == NOT_RETURNED:
            raise Ended
        if -4096 < result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    # ---- The program's memory ----

    def put(self, data: bytes, offset: int = 0) -> int:
        """Store data in the arena; its address."""
        assert self.lib.host_copy_out(ARENA + offset, data, len(data)) == 0
        return ARENA + offset

    def get(self, address: int, length: int) -> bytes:
        """Read the program's memory."""
        data = ffi.new("char[]", length or 1)
        if self.lib.host_copy_in(data, address, length) != 0:
            raise OSError(errno.EFAULT, "not the program's")
        return bytes(ffi.buffer(data, length))

    def path(self, path: str, slot: int = 0) -> int:
        """Store a path; its address."""
        return self.put(os.fsencode(path) + b"\0", slot * 8192)

    # ---- Calls ----

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        return self.call("open", self.path(path), flags, mode)

    def close(self, fd: int) -> None:
        self.call("close", fd)

    def read(self, fd: int, length: int) -> bytes:
        return self.get(ARENA, self.call("read", fd, ARENA, length))

    def write(self, fd: int, data: bytes) -> int:
        return self.call("write", fd, self.put(data), len(data))

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return self.get(ARENA, self.call("pread64", fd, ARENA, length, offset))

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return self.call("pwrite64", fd, self.put(data), len(data), offset)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        return self.call("lseek", fd, offset, whence)

    def ftruncate(self, fd: int, size: int) -> None:
        self.call("ftruncate", fd, size)

    def truncate(self, path: str, size: int) -> None:
        self.call("truncate", self.path(path), size)

    def dup(self, fd: int) -> int:
        return self.call("dup", fd)

    def dup2(self, fd: int, to: int) -> int:
        return self.call("dup2", fd, to)

    def sendfile(self, out: int, source: int, count: int) -> int:
        return self.call("sendfile", out, source, 0, count)

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        self.call("fallocate", fd, mode, offset, length)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        self.call("mkdir", self.path(path), mode)

    def rmdir(self, path: str) -> None:
        self.call("rmdir", self.path(path))

    def unlink(self, path: str) -> None:
        self.call("unlink", self.path(path))

    def link(self, old: str, new: str) -> None:
        self.call("link", self.path(old), self.path(new, 1))

    def symlink(self, target: str, path: str) -> None:
        self.call("symlink", self.path(target), self.path(path, 1))

    def readlink(self, path: str) -> str:
        length = self.call("readlink", self.path(path), ARENA + 8192, 4096)
        return os.fsdecode(self.get(ARENA + 8192, length))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        arguments = (AT_FDCWD, self.path(old), AT_FDCWD, self.path(new, 1), flags)
        self.call("renameat2", *arguments)

    def chmod(self, path: str, mode: int) -> None:
        self.call("chmod", self.path(path), mode)

    def chown(self, path: str, user: int, group: int) -> None:
        self.call("chown", self.path(path), user, group)

    def chdir(self, path: str) -> None:
        self.call("chdir", self.path(path))

    def getcwd(self) -> str:
        return os.fsdecode(self.get(ARENA, self.call("getcwd", ARENA, 4096))[:-1])

    def become(self, user: int, group: int, groups: list[int]) -> None:
        self.call("setresuid", 0, 0, 0)
        self.call("setgroups", len(groups), self.put(struct.pack(f"<{len(groups)}I", *groups)))
        self.call("setresgid", group, group, 0)
        self.call("setresuid", user, user, 0)

    def setfsuid(self, user: int) -> int:
        return self.call("setfsuid", user)

    def umask(self, mask: int) -> int:
        return self.call("umask", mask)

    def access(self, path: str, mode: int) -> None:
        self.call("access", self.path(path), mode)

    def stat(self, path: str) -> Stat:
        self.call("stat", self.path(path), ARENA + 8192)
        return self._stat()

    def lstat(self, path: str) -> Stat:
        self.call("lstat", self.path(path), ARENA + 8192)
        return self._stat()

    def fstat(self, fd: int) -> Stat:
        self.call("fstat", fd, ARENA + 8192)
        return self._stat()

    def _stat(self) -> Stat:
        words = struct.unpack("<QQQIIIIQqqq", self.get(ARENA + 8192, 72))
        _, _, links, mode, user, group, _, device, size, _, blocks = words
        return Stat(mode, links, user, group, size, blocks, device)

    def pipe2(self, flags: int) -> tuple[int, int]:
        self.call("pipe2", ARENA, flags)
        reader, writer = struct.unpack("<2i", self.get(ARENA, 8))
        return reader, writer

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        return self.call("fcntl", fd, command, argument)

    def available(self, fd: int) -> int:
        self.call("ioctl", fd, FIONREAD, ARENA)
        (count,) = struct.unpack("<i", self.get(ARENA, 4))
        return int(count)

    def flock(self, fd: int, operation: int) -> None:
        self.call("flock", fd, operation)

    def splice(self, source: int, out: int, count: int) -> int:
        return self.call("splice", source, 0, out, 0, count, SPLICE_F_NONBLOCK)

    def tee(self, source: int, out: int, count: int) -> int:
        return self.call("tee", source, out, count, SPLICE_F_NONBLOCK)

    def memfd_create(self, name: str, flags: int) -> int:
        return self.call("memfd_create", self.path(name), flags)

    def eventfd(self, count: int, flags: int) -> int:
        return self.call("eventfd2", count, flags)

    def poll(self, fd: int, events: int) -> int:
        self.call("poll", self.put(struct.pack("<ihh", fd, events, 0)), 1, 0)
        return int(struct.unpack("<ihH", self.get(ARENA, 8))[2])

    def epoll_create1(self, flags: int) -> int:
        return self.call("epoll_create1", flags)

    def epoll_ctl(self, epoll: int, operation: int, fd: int, events: int) -> None:
        self.call("epoll_ctl", epoll, operation, fd, self.put(struct.pack("<IQ", events, fd)))

    def epoll_wait(self, epoll: int, count: int) -> list[tuple[int, int]]:
        found = self.call("epoll_wait", epoll, ARENA, count, 0)
        pairs = struct.iter_unpack("<IQ", self.get(ARENA, 12 * found))
        return [(fd, events) for events, fd in pairs]

    def listdir(self, path: str) -> list[str]:
        """Names in the order in which the directory gives them, "." and ".." included."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return [name for name, _ in self.entries(fd)]
        finally:
            self.close(fd)

    def entries(self, fd: int, size: int = 512) -> Iterator[tuple[str, int]]:
        """Read a directory to its end: names and d_type."""
        while data := self.get(ARENA, self.call("getdents64", fd, ARENA, size)):
            at = 0
            while at < len(data):
                _, _, length, kind = struct.unpack_from("<QqHB", data, at)
                name = data[at + 19 : at + length].split(b"\0")[0]
                yield os.fsdecode(name), kind
                at += length

    # ---- The host ----

    def feed(self, data: bytes, *, ends: bool = True) -> None:
        """Give the console its input, all there is."""
        self._input = ffi.new("uint8_t[]", data or b"\0")
        self.lib.host.input = self._input
        self.lib.host.input_length = len(data)
        self.lib.host.input_ends = ends

    def output(self, stream: int = 1) -> bytes:
        """What went to a stream of the console so far."""
        host = self.lib.host
        return bytes(ffi.buffer(host.output[stream], host.output_length[stream]))

    def store(self, address: int, data: bytes) -> Any:
        """Put data into physical memory; the kernel's pointer to it."""
        pointer = ffi.cast("char *", self.lib.host_direct_map + address)
        ffi.memmove(pointer, data, len(data))
        return pointer


def smallest_program() -> bytes:
    """An ELF file with one page of code."""
    header = struct.pack(
        *("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0x40_0078, 64, 0, 0, 64, 56, 1),
        *(0, 0, 0),
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x40_0000, 0, 0x80, 0x80, PAGE)
    return header + load + bytes(8)


def _pages(length: int) -> int:
    return -(-length // PAGE)


@contextmanager
def system(
    *,
    program: bytes | None = None,
    initrd: bytes = b"",
    arguments: Sequence[bytes] = (b"program",),
    environment: Sequence[bytes] = (),
    command_line: bytes = b"",
    terminals: int = 0,
    memory: int = 4096,
) -> Iterator[System]:
    """A kernel with ``memory`` free pages that has loaded a program and would now enter it."""
    program = program or smallest_program()
    regions = [(RAM, memory, FREE), (PROGRAM_AT, _pages(len(program)), PROGRAM)]
    if initrd:
        regions.append((INITRD_AT, _pages(len(initrd)), INITRD))
    path = hostlib.library_path(SOURCES, ("system.c",))
    with hostlib.memory(regions, FEATURES, ffi, path) as lib:
        kernel = System(lib)
        kernel.store(PROGRAM_AT, program)
        kernel.store(INITRD_AT, initrd)
        lib.host_new_space()
        lib.host.terminals = terminals
        strings = b"".join(text + b"\0" for text in (*arguments, *environment))
        pointer = kernel.store(STRINGS_AT, command_line + b"\0" + strings)
        behind = pointer + len(command_line) + 1
        lib.host_set_bootinfo(pointer, behind, len(strings), len(arguments), len(environment))
        lib.host_start()
        anonymous_private_fixed = 0x32
        mapped = lib.space_map(ARENA, ARENA_SIZE, 3, anonymous_private_fixed, ffi.NULL, 0)
        assert mapped == ARENA
        yield kernel
