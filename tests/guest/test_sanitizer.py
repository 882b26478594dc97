"""The address sanitizer of the kernel's pieces on the host: what it must not let pass."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.guest.hostlib import FREE, PAGE, ffi, memory


def address_of(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def behind_an_object(lib: Any) -> tuple[int, int]:
    start = address_of(lib.kmalloc(100))
    return start + 99, start + 100


def freed_object(lib: Any) -> tuple[int, int]:
    kept, freed = lib.kmalloc(64), lib.kmalloc(64)
    lib.kfree(freed)
    return address_of(kept), address_of(freed)


def object_that_moved(lib: Any) -> tuple[int, int]:
    old = lib.kmalloc(64)
    new = lib.krealloc(old, 500)
    return address_of(new) + 499, address_of(old)


def freed_frame(lib: Any) -> tuple[int, int]:
    first, second = lib.frame_allocate(0, 0), lib.frame_allocate(0, 0)
    lib.frame_free(second, 0)
    return lib.host_direct_map + first, lib.host_direct_map + second + PAGE - 1


def survives(lib: Any, address: int) -> bool:
    """Tell whether reading there is allowed, in a process of its own."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        lib.sanitizer_probe(address)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGABRT)
    return status == 0


@pytest.mark.parametrize("make", [behind_an_object, freed_object, object_that_moved, freed_frame])
def test_an_access_that_must_not_be(make: Callable[[Any], tuple[int, int]]) -> None:
    with memory([(1 << 20, 1024, FREE)]) as lib:
        allowed, forbidden = make(lib)
        assert survives(lib, allowed)
        assert not survives(lib, forbidden)
