"""The program's first stack."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.guest.systemlib import System, system

AT = {
    "PHDR": 3,
    "PHENT": 4,
    "PHNUM": 5,
    "PAGESZ": 6,
    "BASE": 7,
    "FLAGS": 8,
    "ENTRY": 9,
    "UID": 11,
    "EUID": 12,
    "GID": 13,
    "EGID": 14,
    "PLATFORM": 15,
    "HWCAP": 16,
    "CLKTCK": 17,
    "SECURE": 23,
    "RANDOM": 25,
    "HWCAP2": 26,
    "MINSIGSTKSZ": 51,
    "EXECFN": 31,
}
USER_END = 0x7FFF_FFFF_F000


class Stack:
    """The stack, read as a program's first instructions read it."""

    def __init__(self, kernel: System) -> None:
        self._kernel = kernel
        self.pointer = self._at = int(kernel.lib.host.sp)
        self.argc = self._word()
        self.arguments = self._strings()
        self.environment = self._strings()
        self.auxiliary = dict(self._pairs())

    def _word(self) -> int:
        (word,) = struct.unpack("<Q", self._kernel.get(self._at, 8))
        self._at += 8
        return int(word)

    def string(self, address: int) -> bytes:
        data = b""
        while not data.endswith(b"\0"):
            data += self._kernel.get(address + len(data), 1)
        return data[:-1]

    def _strings(self) -> list[bytes]:
        strings = []
        while address := self._word():
            strings.append(self.string(address))
        return strings

    def _pairs(self) -> list[tuple[int, int]]:
        pairs = []
        while (kind := self._word()) != 0:
            pairs.append((kind, self._word()))
        return pairs


STRINGS = st.lists(st.binary(max_size=30).map(lambda s: s.replace(b"\0", b"")), max_size=12)


@given(STRINGS.filter(bool), STRINGS)
def test_arguments_and_environment(arguments: list[bytes], environment: list[bytes]) -> None:
    with system(arguments=arguments, environment=environment) as kernel:
        stack = Stack(kernel)
        assert stack.pointer % 16 == 0
        assert stack.argc == len(arguments)
        assert stack.arguments == arguments
        assert stack.environment == environment


def test_auxiliary_vector() -> None:
    with system(arguments=[b"/bin/x", b"y"]) as kernel:
        stack = Stack(kernel)
        aux = stack.auxiliary
        assert set(aux) == set(AT.values())
        assert aux[AT["PHDR"]] == 0x40_0040
        assert (aux[AT["PHENT"]], aux[AT["PHNUM"]]) == (56, 1)
        assert (aux[AT["PAGESZ"]], aux[AT["CLKTCK"]]) == (4096, 100)
        assert aux[AT["ENTRY"]] == 0x40_0078
        assert (aux[AT["BASE"]], aux[AT["SECURE"]]) == (0, 0)
        assert (aux[AT["HWCAP"]], aux[AT["HWCAP2"]]) == (0x1234, 0x5678)
        assert aux[AT["MINSIGSTKSZ"]] == 0x9ABC
        assert stack.string(aux[AT["EXECFN"]]) == b"/bin/x"
        assert stack.string(aux[AT["PLATFORM"]]) == b"x86_64"
        assert kernel.get(aux[AT["RANDOM"]], 16) == bytes(range(16))


def test_a_stack_has_room_and_an_end() -> None:
    with system() as kernel:
        stack_size, guard = 8 << 20, 1 << 20
        assert kernel.lib.host_store(USER_END - stack_size, 1) == -1  # FAULT_RESOLVED
        for address in (USER_END - stack_size - 1, USER_END - stack_size - guard):
            assert kernel.lib.host_store(address, 1) >= 0
