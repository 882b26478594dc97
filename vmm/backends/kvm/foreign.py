"""The foreign functions, typed: what libc and the kernel's structures look like from Python."""

from __future__ import annotations

from vmm.arch import X86_64, host_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    # A C value, pointer or structure of cffi. Its fields are those of the cdef files.
    CData = Any

    class Libc(Protocol):
        """The functions of libc that the cdef files declare."""

        def ioctl(self, fd: int, request: int, argument: CData, /) -> int: ...
        def sigaction(self, number: int, action: CData, old: CData, /) -> int: ...
        def abs(self, number: int, /) -> int: ...

    class ForeignInterface(Protocol):
        """The part of a cffi FFI object that this backend uses."""

        NULL: CData
        errno: int

        def addressof(self, library: Libc, name: str, /) -> CData: ...
        def buffer(self, pointer: CData, size: int = ..., /) -> CData: ...
        def cast(self, kind: str, value: CData, /) -> CData: ...
        def dlopen(self, path: None, /) -> Libc: ...
        def from_buffer(self, data: object, /) -> CData: ...
        def new(self, kind: str, initial: object = ..., /) -> CData: ...
        def release(self, data: CData, /) -> None: ...
        def sizeof(self, kind: str, /) -> int: ...

    ffi: ForeignInterface
elif host_arch() == X86_64:
    from vmm.backends.kvm._ffi_x86_64 import ffi
else:
    from vmm.backends.kvm._ffi_arm64 import ffi

libc: Final = ffi.dlopen(None)
NULL: Final = ffi.NULL


def pointer(number: int) -> CData:
    """Return ``number`` as the pointer-sized argument of an ioctl that takes an integer."""
    return ffi.cast("void *", number)


def address_of(data: CData) -> int:
    """Return the host address that the cffi pointer ``data`` holds."""
    return int(ffi.cast("uintptr_t", data))
