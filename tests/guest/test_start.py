"""The program's first stack, and the generator of random numbers behind it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.guest.systemlib import ARENA, System, ffi, system

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
        assert stack.string(aux[AT["EXECFN"]]) == b"/bin/x"
        assert stack.string(aux[AT["PLATFORM"]]) == b"x86_64"
        assert kernel.get(aux[AT["RANDOM"]], 16) == bytes(range(16))


def test_a_stack_has_room_and_an_end() -> None:
    with system() as kernel:
        stack_size, guard = 8 << 20, 1 << 20
        assert kernel.lib.host_store(USER_END - stack_size, 1) == -1  # FAULT_RESOLVED
        for address in (USER_END - stack_size - 1, USER_END - stack_size - guard):
            assert kernel.lib.host_store(address, 1) >= 0


def chacha20(key: bytes, counter: int, nonce: bytes) -> bytes:
    with system() as kernel:
        block = ffi.new("uint32_t[16]")
        words = ffi.new("uint32_t[]", struct.unpack("<8I", key))
        kernel.lib.chacha20_block(words, counter, struct.unpack("<3I", nonce), block)
        return bytes(ffi.buffer(block))


def test_chacha20_of_rfc_8439() -> None:
    # Section 2.3.2.
    nonce = bytes.fromhex("000000090000004a00000000")
    assert chacha20(bytes(range(32)), 1, nonce) == bytes.fromhex(
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )
    # Appendix A.1, test vectors 1 and 4.
    assert chacha20(bytes(32), 0, bytes(12)) == bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )
    assert chacha20(b"\x00\xff" + bytes(30), 2, bytes(12)) == bytes.fromhex(
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"
    )


def test_random_numbers_come_from_the_seed_and_do_not_repeat() -> None:
    def draw() -> list[bytes]:
        with system() as kernel:
            calls = [kernel.call("getrandom", ARENA, 40_000, 0) for _ in range(2)]
            assert calls == [40_000, 40_000]
            first = kernel.get(ARENA, 40_000)
            kernel.call("getrandom", ARENA, 40_000, 0)
            return [first, kernel.get(ARENA, 40_000)]

    first, second = draw()
    assert first != second
    # No block comes twice, within a call or between calls.
    blocks = {data[i : i + 64] for data in (first, second) for i in range(0, 40_000, 64)}
    assert len(blocks) == 2 * 40_000 // 64
    # With the same seed everywhere, the same numbers.
    assert draw() == [first, second]
