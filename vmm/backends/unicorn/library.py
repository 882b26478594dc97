"""The engine's shared library, opened directly.

The Python package ``unicorn`` is not imported: it defines every constant of every architecture,
which takes longer than a guest's boot. Only the file that its wheel installs is used.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from struct import Struct

from vmm.errors import BackendUnavailable, VmmError
from vmm.host.cache import cache_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Protocol

    # cffi's objects have no static types: cdata is whatever the declarations say.
    CData = Any

    class Functions(Protocol):
        """The functions of the library that the backend calls; see `build_ffi` for C types.

        The interpreter's lock is released during each call.
        """

        def uc_version(self, major: CData, minor: CData, /) -> int: ...
        def uc_strerror(self, code: int, /) -> CData: ...
        def uc_open(self, arch: int, mode: int, engine: CData, /) -> int: ...
        def uc_close(self, engine: CData, /) -> int: ...
        def uc_ctl(self, engine: CData, control: int, /, *values: CData) -> int: ...
        def uc_emu_start(
            self, engine: CData, begin: int, until: int, timeout: int, count: int, /
        ) -> int: ...
        def uc_emu_stop(self, engine: CData, /) -> int: ...
        def uc_hook_add(
            self,
            engine: CData,
            hook: CData,
            kind: int,
            callback: CData,
            user: CData,
            begin: int,
            end: int,
            /,
            *extra: CData,
        ) -> int: ...
        def uc_hook_del(self, engine: CData, hook: CData, /) -> int: ...
        def uc_mem_map_ptr(
            self, engine: CData, address: int, size: int, rights: int, host: CData, /
        ) -> int: ...
        def uc_mmio_map(
            self,
            engine: CData,
            address: int,
            size: int,
            read: CData,
            read_user: CData,
            write: CData,
            write_user: CData,
            /,
        ) -> int: ...
        def uc_reg_read(self, engine: CData, register: int, value: CData, /) -> int: ...
        def uc_reg_write(self, engine: CData, register: int, value: CData, /) -> int: ...
        def uc_vmem_translate(
            self, engine: CData, address: int, rights: int, physical: CData, /
        ) -> int: ...
        def uc_vmem_read(
            self, engine: CData, address: int, rights: int, buffer: CData, size: int, /
        ) -> int: ...
        def uc_context_size(self, engine: CData, /) -> int: ...
        def uc_context_alloc(self, engine: CData, context: CData, /) -> int: ...
        def uc_context_save(self, engine: CData, context: CData, /) -> int: ...
        def uc_context_restore(self, engine: CData, context: CData, /) -> int: ...
        def uc_context_free(self, context: CData, /) -> int: ...

        # Of the engine's inside; only where `internals` has found it to be as expected.
        def arm_cpu_do_interrupt_aarch64(self, cpu: CData, /) -> None: ...
        def get_arm_cp_reginfo_aarch64(self, registers: CData, encoding: int, /) -> CData: ...
        def define_one_arm_cp_reg_with_opaque_aarch64(
            self, cpu: CData, reginfo: CData, opaque: CData, /
        ) -> None: ...
        def qemu_ram_addr_from_host_aarch64(self, engine: CData, host: CData, /) -> int: ...
        def qemu_ram_addr_from_host_x86_64(self, engine: CData, host: CData, /) -> int: ...
        def tb_invalidate_phys_range_aarch64(
            self, engine: CData, start: int, end: int, /
        ) -> None: ...
        def tb_invalidate_phys_range_x86_64(
            self, engine: CData, start: int, end: int, /
        ) -> None: ...
        def x86_cpu_do_interrupt_x86_64(self, cpu: CData, /) -> None: ...
        def x86_update_hflags_x86_64(self, env: CData, /) -> None: ...
        def helper_read_eflags_x86_64(self, env: CData, /) -> int: ...
        def helper_write_eflags_x86_64(self, env: CData, value: int, mask: int, /) -> None: ...


# The release that the offset tables in `layout` were made for (major, minor, patch).
RELEASE: Final = (2, 1, 4)

_FILE: Final = "unicorn/lib/libunicorn.so.2"

# <dlfcn.h>
_RTLD_LAZY: Final = 1
_RTLD_NOLOAD: Final = 4
# Looking in itself first keeps other copies of QEMU in the process out of it.
_RTLD_DEEPBIND: Final = 8
_RTLD_DI_LINKMAP: Final = 2

_INSTALL: Final = "install it with: pip install unicorn=={}.{}.{}".format(*RELEASE)


# The program headers and the note with the build id lie near the start of the file.
_HEAD: Final = 4096
_NOTE: Final = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
_BUILD_ID_SIZE: Final = 20

# System V gABI, chapter 5
_EHDR: Final = Struct("<32xQ14xHH")  # e_phoff, e_phentsize, e_phnum
_PHDR: Final = Struct("<I12xQ")  # p_type, p_vaddr
_PT_DYNAMIC: Final = 2

# The hosts on which there are placed copies.
_PLACED_ON: Final = "x86_64"


class EngineError(VmmError):
    """The engine refused a call.

    Attributes:
        code: its error number (uc_err).
    """

    def __init__(self, what: str, code: int, text: str) -> None:
        super().__init__(f"unicorn: {what}: {text}")
        self.code = code


class Library:
    """The opened library.

    Attributes:
        ffi: cffi's view of the C types.
        api: its functions.
        path: the file, as installed.
        build_id: the file's GNU build id in hexadecimal; empty if it has none.
    """

    def __init__(self, ffi: CData, path: str) -> None:
        self.ffi: CData = ffi
        self.path = path
        try:
            self._head = _read_head(path)
            self.build_id = _build_id(self._head)
            self.api: Functions = self._open()
            version = self.api.uc_version(ffi.NULL, ffi.NULL)
        except (OSError, ffi.error) as error:
            raise BackendUnavailable(
                f"cannot load the Unicorn engine: {error}; {_INSTALL}"
            ) from None
        found = (version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF)
        if found != RELEASE:
            raise BackendUnavailable(
                "the Unicorn engine installed is release {}.{}.{}; {}".format(*found, _INSTALL)
            )

    def _open(self) -> Functions:
        """Open the form of the library that opens fastest and can be used here."""
        placed = _placed_copy(self.path, self.build_id)
        if placed is not None:
            api = self._open_file(placed)
            if self._link_map().l_addr == 0:  # it is where it asked to be
                return api
            self.ffi.dlclose(api)
        return self._open_file(_bound_copy(self.path, self.build_id) or self.path)

    def _open_file(self, file: str) -> Functions:
        self._file = file
        api: Functions = self.ffi.dlopen(file, _RTLD_LAZY | _RTLD_DEEPBIND)
        return api

    def _link_map(self) -> CData:
        """Return what the dynamic linker tells of the library."""
        libc = self.ffi.dlopen(None)
        handle = libc.dlopen(os.fsencode(self._file), _RTLD_LAZY | _RTLD_NOLOAD)
        found = self.ffi.new("struct link_map **")
        if not handle or libc.dlinfo(handle, _RTLD_DI_LINKMAP, found):
            raise VmmError("cannot tell where the Unicorn engine's library was loaded")
        libc.dlclose(handle)
        return found[0]

    def check(self, code: int, what: str) -> None:
        """Raise `EngineError` for ``what`` unless ``code`` says that all is well."""
        if code != 0:
            raise EngineError(what, code, self.describe(code))

    def describe(self, code: int) -> str:
        """Return the engine's own words for an error number."""
        return str(self.ffi.string(self.api.uc_strerror(code)).decode())

    def base_address(self) -> int:
        """Return where the library is in this process: what offsets in its file are relative to.

        The address that a placed copy asks for is not read from its file, which another process may
        have replaced since.
        """
        return int(self._link_map().l_ld) - _dynamic_offset(self._head)

    def address_of(self, function: str) -> int | None:
        """Return the address of an exported function, or None if there is none of that name."""
        try:
            return int(self.ffi.cast("uintptr_t", self.ffi.addressof(self.api, function)))
        except (AttributeError, self.ffi.error):
            return None


_guard = allocate_lock()
_opened: list[Library] = []


def open_library() -> Library:
    """Return the process's one opened library.

    Raises:
        BackendUnavailable: if it is missing, cannot be loaded, or is of another release.
    """
    with _guard:
        if not _opened:
            _opened.append(Library(_bindings(), _find(sys.path)))
        return _opened[0]


def _bindings() -> CData:
    try:
        from vmm.backends.unicorn._ffi import ffi
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"the bindings of the Unicorn engine are incomplete ({error.name} is missing); "
            "install the package again"
        ) from None
    return ffi


def _find(path: list[str], exists: Callable[[str], bool] = os.path.exists) -> str:
    """Return the library's file in the first entry of ``path`` that has it."""
    for entry in path:
        candidate = os.path.join(entry, _FILE)
        if exists(candidate):
            return candidate
    raise BackendUnavailable(f"the Unicorn engine is not installed; {_INSTALL}")


def _placed_copy(path: str, build_id: str) -> str | None:
    """Return the copy of a library file that opens fastest (see `placed`), or None."""

    def make(copy: str) -> bool:
        from vmm.backends.unicorn.placed import make_placed_copy

        return make_placed_copy(path, copy)

    if not build_id or os.uname().machine != _PLACED_ON:
        return None
    return _copy(path, f"libunicorn-{build_id}-near.so.2", make)


def _bound_copy(path: str, build_id: str) -> str | None:
    """Return the copy of a library file that opens faster (see `bound`), or None."""

    def make(copy: str) -> bool:
        from vmm.backends.unicorn.bound import make_bound_copy

        return make_bound_copy(path, copy)

    return _copy(path, f"libunicorn-{build_id}.so.2", make) if build_id else None


def _copy(path: str, name: str, make: Callable[[str], bool]) -> str | None:
    """Return the cached copy ``name`` of a library file, which is made where it is missing."""
    copy = cache_path(name)
    if copy is None:
        return None
    try:
        status = os.stat(copy)
        # Of this user's own making: it is going to be executed.
        if status.st_uid == os.geteuid() and status.st_size == os.stat(path).st_size:
            return copy
    except OSError:
        pass  # not there yet
    return copy if make(copy) else None


def _read_head(path: str) -> bytes:
    """Return the start of a file; nothing if it cannot be read: opening it then tells why."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _build_id(head: bytes) -> str:
    """Return the GNU build id in the head of a library in hexadecimal; empty if it has none."""
    at = head.find(_NOTE)
    if at < 0:
        return ""
    at += len(_NOTE)
    return head[at : at + _BUILD_ID_SIZE].hex()


def _dynamic_offset(head: bytes) -> int:
    """Return how far the dynamic section is from the library's first byte, in memory.

    It is the same in all copies of the file. ``head`` is that of a library as it is installed: its
    addresses start at 0.
    """
    start, size, count = _EHDR.unpack_from(head)
    for at in range(start, start + size * count, size):
        kind, address = _PHDR.unpack_from(head, at)
        if kind == _PT_DYNAMIC:
            return int(address)
    raise VmmError("the Unicorn engine's library has no dynamic section")
