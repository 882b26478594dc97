"""Pieces of the guest kernel as a library of the host, with both sanitizers.

Undefined behaviour is a trap, and each access to memory is checked (host/sanitizer.c).
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

from guest.build import GUEST, ROOT

HOST = Path(__file__).parent / "host"

SOURCES = (
    *("lib/string.c", "lib/format.c", "lib/tree.c", "lib/rank_tree.c", "lib/splay_tree.c"),
    *(
        "mm/chunk.c",
        "mm/frames.c",
        "mm/heap.c",
        "mm/page_table.c",
        "mm/pages.c",
        "mm/space.c",
        "mm/remap.c",
    ),
    "mm/image_source.c",
    *("kernel/bootinfo.c", "kernel/stack_guard.c", "drivers/device_tree.c"),
)

CDEF = """
struct calypso_region {
    uint64_t physical; uint64_t virtual; uint64_t length; uint32_t type; uint32_t flags;
    char name[16];
};
void host_boot(struct calypso_region *regions, unsigned count, uint64_t features);
void host_shutdown(void);
void host_command_line(const char *line);
uint64_t command_line_number(const char *name, uint64_t fallback);
bool command_line_is(const char *name, const char *value);
extern uint64_t host_direct_map;

struct span { uint64_t start; uint64_t end; };
void frames_add(struct span span);
struct frame_statistics { uint64_t total; uint64_t used; };
struct frame_statistics frame_statistics(void);

size_t kmalloc_usable(const void *object);

struct page_source { const void *operations; bool code_is_ready; };
struct image_source { struct page_source source; uint64_t base; uint64_t length; };
void image_source_initialize(struct image_source *image, uint64_t base, uint64_t length);
int64_t space_map(uint64_t address, uint64_t length, int protection, int flags,
                  struct page_source *source, uint64_t offset);
int space_unmap(uint64_t address, uint64_t length);
int space_protect(uint64_t address, uint64_t length, int protection);
int64_t space_remap(uint64_t address, uint64_t length, uint64_t new_length, int flags,
                    uint64_t new_address);
int space_advise(uint64_t address, uint64_t length, int advice);
void space_set_break(uint64_t start);
uint64_t space_break(uint64_t address);
struct space_mapping {
    uint64_t start; uint64_t end; int protection; int flags; struct page_source *source;
    uint64_t offset;
};
bool space_find(uint64_t address, struct space_mapping *mapping);
void host_new_space(void);
unsigned host_look(uint64_t address);
int host_store(uint64_t address, uint8_t byte);
int host_load(uint64_t address);

void sanitizer_probe(uintptr_t address);

struct device_range { uint64_t base; uint64_t length; };
int tree_ranges(const void *blob, uint64_t length, const char *compatible,
                struct device_range *ranges, unsigned room);

int snprintf(char *to, size_t size, const char *format, ...);
size_t strlcpy(char *to, const char *from, size_t size);
int strncmp(const char *left, const char *right, size_t limit);
int memcmp(const void *left, const void *right, size_t count);
char *strchr(const char *text, int byte);
char *strrchr(const char *text, int byte);
void *memchr(const void *from, int byte, size_t count);
size_t strnlen(const char *text, size_t limit);
bool parse_number(const char **text, unsigned base, uint64_t *number);
"""

# The allocators, as the kernel's other pieces call them: through the address sanitizer's runtime.
WRAPPED = {
    "frame_allocate": "uint64_t {}(unsigned order, unsigned flags);",
    "frame_free": "void {}(uint64_t block, unsigned order);",
    "frames_free_range": "void {}(uint64_t start, uint64_t count);",
    "kmalloc": "void *{}(size_t size);",
    "kcalloc": "void *{}(size_t count, size_t size);",
    "krealloc": "void *{}(void *object, size_t size);",
    "kfree": "void {}(void *object);",
}
CDEF += "".join(declaration.format(f"__wrap_{name}") for name, declaration in WRAPPED.items())

# What there is for each kind of tree (host/trees.c).
TREE_CDEF = """
bool {0}_add(uint64_t key);
bool {0}_remove(uint64_t key);
uint64_t {0}_find(uint64_t key);
uint64_t {0}_nearest(uint64_t key, bool above);
bool {0}_valid(void);
size_t {0}_keys(uint64_t *keys, bool descending);
unsigned {0}_height(void);
unsigned {0}_depth(uint64_t key);
"""
CDEF += "".join(map(TREE_CDEF.format, ("rank", "splay")))

ffi = FFI()
ffi.cdef(CDEF)

FREE, RESERVED, KERNEL, BOOT = 1, 2, 3, 4
ZEROED_RAM = 1 << 3
PAGE = 4096

_FLAGS = (
    *("-shared", "-fPIC", "-O1", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-fno-builtin", "-fno-strict-aliasing", "-Wl,-Bsymbolic"),
    *("-fsanitize=undefined", "-fsanitize-trap=undefined", "-fno-sanitize=function"),
    # Checks by calls; what the stack holds is left to the other sanitizer.
    *("-fsanitize=kernel-address", "-mllvm", "-asan-instrumentation-with-call-threshold=0"),
    *("-mllvm", "-asan-stack=0"),
    *(f"-Wl,--wrap={name}" for name in WRAPPED),
)


@cache
def library_path(sources: Sequence[str] = SOURCES, around: Sequence[str] = ("trees.c",)) -> Path:
    """Build a library where it is not built yet from just these files, and what all tests need."""
    around = ("host.c", "sanitizer.c", *around)
    sources = [*(str(GUEST / name) for name in sources), *(str(HOST / name) for name in around)]
    includes = [HOST / "include", GUEST, GUEST / "include", GUEST / "arch/x86_64/include"]
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS]
    for include in includes:
        command += ["-I", str(include)]
    command += sources

    digest = hashlib.sha256("\0".join(command).encode())
    headers = itertools.chain.from_iterable(include.rglob("*.h") for include in includes)
    for path in sorted({*map(Path, sources), *headers}):
        digest.update(path.read_bytes())
    library = ROOT / "build/guest-host" / f"{digest.hexdigest()[:16]}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, "-o", str(library)], check=True, timeout=300)
    return library


class Library:
    """An open library in which allocators have their usual names."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lib, f"__wrap_{name}" if name in WRAPPED else name)


@contextmanager
def kernel(ffi: FFI = ffi, library: Path | None = None) -> Iterator[Any]:
    """The library with all its variables as at start."""
    lib: Any = ffi.dlopen(str(library or library_path()))
    try:
        yield Library(lib)
    finally:
        ffi.dlclose(lib)


@contextmanager
def memory(
    regions: Sequence[tuple[int, int, int]],
    features: int = ZEROED_RAM,
    ffi: FFI = ffi,
    library: Path | None = None,
) -> Iterator[Any]:
    """A library with a frame allocator over ``regions``: (address, pages, type), ascending."""
    array = ffi.new("struct calypso_region[]", len(regions))
    for region, (address, pages, kind) in zip(array, regions, strict=True):
        region.physical = address
        region.length = pages * PAGE
        region.type = kind
    with kernel(ffi, library) as lib:
        lib.host_boot(array, len(regions), features)
        try:
            yield lib
        finally:
            lib.host_shutdown()
