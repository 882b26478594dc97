"""Engines of a placed library translate within reach of it, as long as there is room."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vmm import Machine
from vmm.backends.unicorn.engine import ARCH_ARM64, ARCH_X86, MODE_64, MODE_LITTLE_ENDIAN, Engine
from vmm.backends.unicorn.library import Library, open_library
from vmm.backends.unicorn.near import map_code_near
from vmm.backends.unicorn.shared_object import DT_INIT, DT_SYMTAB, SharedObject

REACH = 2 << 30
MAP_FIXED = 0x10
MAP_FIXED_NOREPLACE = 0x10_0000
MAP_FAILED = ctypes.c_void_p(-1).value
ANYWHERE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
CODE = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
BUFFER = 32 << 20  # of an engine; its last page is not accessible

Call = Callable[[int | None, int, int, int, int, int], int | None]
SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
    use_errno=True,
)
libc_mmap: Call = SIGNATURE(("mmap", ctypes.CDLL(None)))
munmap = ctypes.CDLL(None).munmap
munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


@pytest.fixture
def library() -> Library:
    """The library, placed."""
    opened = open_library()
    if opened._link_map().l_addr != 0:  # what is added to the addresses in its file
        pytest.skip("there is no placed copy, or something else is at its address")
    return opened


@pytest.fixture
def original() -> bytearray:
    """The wheel's file."""
    return bytearray(Path(open_library().path).read_bytes())


@pytest.fixture
def routine(library: Library, original: bytearray) -> Call:
    """What the library calls as ``mmap``."""
    call: Call = SIGNATURE(library.base_address() + SharedObject(original).code_end)
    return call


def code_buffers() -> set[int]:
    """Return where in this process buffers of engines are."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        extent, rights, *_ = line.split()
        start, end = (int(text, 16) for text in extent.split("-"))
        if rights == "rwxp" and end - start >= BUFFER - mmap.PAGESIZE:
            found.add(start)
    return found


def is_near(library: Library, address: int) -> bool:
    return 0 < address - library.base_address() < REACH - BUFFER


def open_engine(library: Library, arch: int = ARCH_ARM64) -> Engine:
    mode = MODE_LITTLE_ENDIAN if arch == ARCH_ARM64 else MODE_64
    return Engine(library, None, arch, mode, 0)


def test_each_engine_has_a_buffer_near_the_library(library: Library) -> None:
    before = code_buffers()
    engines = [open_engine(library, arch) for arch in (ARCH_ARM64, ARCH_X86) * 3]
    made = code_buffers() - before
    assert len(made) == len(engines)
    assert all(is_near(library, address) for address in made)
    for engine in engines:
        engine.close()
    assert code_buffers() == before


def test_engines_of_several_threads_do_not_meet(library: Library) -> None:
    before = code_buffers()
    engines: list[Engine] = []
    together = threading.Barrier(4)

    def make() -> None:
        together.wait()
        engines.extend(open_engine(library) for _ in range(4))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = code_buffers() - before
    assert len(made) == len(engines) == 16
    assert all(is_near(library, address) for address in made)
    for engine in engines:
        engine.close()


def test_an_engine_of_a_forked_process(library: Library) -> None:
    before = code_buffers()
    pid = os.fork()
    if pid == 0:
        open_engine(library)
        (made,) = code_buffers() - before
        os._exit(0 if is_near(library, made) else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.fixture
def no_room(library: Library) -> Iterator[None]:
    """Nothing is free within reach of the library."""
    base = library.base_address()
    step = 2 << 20
    taken = [
        address
        for address in range(base, base + REACH, step)
        if libc_mmap(address, step, 0, ANYWHERE | MAP_FIXED_NOREPLACE, -1, 0) == address
    ]
    yield
    for address in taken:
        assert munmap(address, step) == 0


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_without_room_the_buffer_is_far(library: Library, arch: str) -> None:
    before = code_buffers()
    with Machine("hello", arch=arch, backend="unicorn") as machine:
        (made,) = code_buffers() - before
        assert not is_near(library, made)
        machine.console.expect(b"Hello from")


def test_memory_for_code_is_near(library: Library, routine: Call) -> None:
    address = routine(None, BUFFER, CODE, ANYWHERE, -1, 0)
    assert address is not None
    assert is_near(library, address)
    assert munmap(address, BUFFER) == 0


def test_other_memory_is_where_the_kernel_likes(library: Library, routine: Call) -> None:
    data = mmap.PROT_READ | mmap.PROT_WRITE
    fd = os.open(library.path, os.O_RDONLY)
    for request in (data, ANYWHERE, -1), (CODE, mmap.MAP_PRIVATE, fd):
        address = routine(None, BUFFER, *request, 0)
        assert address not in (None, MAP_FAILED)
        assert address is not None
        assert not is_near(library, address)
        assert munmap(address, BUFFER) == 0
    os.close(fd)


def test_an_address_that_is_asked_for_is_kept(routine: Call) -> None:
    wish = libc_mmap(None, BUFFER, 0, ANYWHERE, -1, 0)
    assert wish is not None
    assert routine(wish, BUFFER, CODE, ANYWHERE | MAP_FIXED, -1, 0) == wish
    assert munmap(wish, BUFFER) == 0


@pytest.mark.parametrize(
    ("length", "rights", "flags", "error"),
    [
        (0, CODE, ANYWHERE, errno.EINVAL),
        (1 << 62, CODE, ANYWHERE, errno.ENOMEM),
        (1 << 62, 0, ANYWHERE, errno.ENOMEM),
        (BUFFER, CODE, mmap.MAP_PRIVATE, errno.EBADF),
    ],
)
def test_a_refusal_is_that_of_the_c_library(
    routine: Call, length: int, rights: int, flags: int, error: int
) -> None:
    ctypes.set_errno(0)
    assert routine(None, length, rights, flags, -1, 0) == MAP_FAILED
    assert ctypes.get_errno() == error


def test_a_library_that_calls_mmap_otherwise_is_refused(original: bytearray) -> None:
    library = SharedObject(original)
    table = slice(library.table(DT_INIT), library.table(DT_INIT) + (2 << 20))
    original[table] = original[table].replace(b"\xff\x25", b"\xff\x15")  # call for jmp
    with pytest.raises(ValueError, match="the entry for mmap is not as expected"):
        map_code_near(library, original)


def test_a_library_whose_code_fills_its_pages_is_refused(original: bytearray) -> None:
    library = SharedObject(original)
    library.append_code(bytes(-library.code_end % mmap.PAGESIZE - 1))
    with pytest.raises(ValueError, match="no room behind the code"):
        library.append_code(bytes(2))


def test_a_library_that_does_not_call_mmap_is_refused(original: bytearray) -> None:
    library = SharedObject(original)
    start = library.table(DT_SYMTAB)
    original[start : start + (1 << 20)] = bytes(1 << 20)
    with pytest.raises(ValueError, match="does not call mmap"):
        map_code_near(library, original)
