"""The x87 and SSE registers of an x86 engine, as FXSAVE lays them out (SDM volume 2, FXSAVE)."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.unicorn.engine import Engine

FXSAVE_SIZE: Final = 512

# FCW, FSW, FTW (abridged: a bit for each register in use), FOP, FIP, FDP, MXCSR.
_CONTROL: Final = Struct("<HHBxHQQI")
_ST: Final = 32
_ST_STRIDE: Final = 16
_ST_SIZE: Final = 10
_XMM: Final = 160
_XMM_SIZE: Final = 16
_XMM_COUNT: Final = 16

_TOP_SHIFT: Final = 11  # of the top of the stack in FSW
_TAG_EMPTY: Final = 3

# <unicorn/x86.h>
_REG_FPSW: Final = 31
_REG_FP0: Final = 82
_REG_XMM0: Final = 122
_REG_FPCW: Final = 246
_REG_FPTAG: Final = 247
_REG_MXCSR: Final = 249


class X86Fpu:
    """Reads and writes them; while the engine does not execute."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._buffer = engine.ffi.new("uint8_t[]", _XMM_SIZE)
        self._bytes = engine.ffi.buffer(self._buffer, _XMM_SIZE)

    def load(self, image: bytes | bytearray) -> None:
        """Set the registers from an image of FXSAVE; the pointers of the last x87 operation stay.

        Those (FOP, FIP, FDP) are for handlers of x87 exceptions and the engine keeps none.
        """
        fcw, fsw, ftw, _, _, _, mxcsr = _CONTROL.unpack_from(image)
        write = self._engine.write_register
        write(_REG_FPCW, fcw)
        write(_REG_FPSW, fsw)
        write(_REG_FPTAG, _full_tags(ftw))
        write(_REG_MXCSR, mxcsr)
        top = fsw >> _TOP_SHIFT & 7
        for index in range(8):
            start = _ST + index * _ST_STRIDE
            self._write(_REG_FP0 + (top + index & 7), image[start : start + _ST_SIZE])
        for index in range(_XMM_COUNT):
            start = _XMM + index * _XMM_SIZE
            self._write(_REG_XMM0 + index, image[start : start + _XMM_SIZE])

    def store(self, image: bytearray) -> None:
        """Put the registers into an image of FXSAVE; what the engine does not keep stays."""
        read = self._engine.read_register
        _, _, _, fop, fip, fdp, _ = _CONTROL.unpack_from(image)
        fcw, fsw, mxcsr = read(_REG_FPCW), read(_REG_FPSW), read(_REG_MXCSR)
        ftw = _abridged_tags(read(_REG_FPTAG))
        _CONTROL.pack_into(
            image, 0, fcw & 0xFFFF, fsw & 0xFFFF, ftw, fop, fip, fdp, mxcsr & 0xFFFF_FFFF
        )
        top = fsw >> _TOP_SHIFT & 7
        for index in range(8):
            start = _ST + index * _ST_STRIDE
            image[start : start + _ST_SIZE] = self._read(_REG_FP0 + (top + index & 7))[:_ST_SIZE]
        for index in range(_XMM_COUNT):
            start = _XMM + index * _XMM_SIZE
            image[start : start + _XMM_SIZE] = self._read(_REG_XMM0 + index)

    def _write(self, register: int, content: bytes | bytearray) -> None:
        self._bytes[: len(content)] = content
        code = self._engine.api.uc_reg_write(self._engine.handle, register, self._buffer)
        self._engine.library.check(code, f"cannot write register {register}")

    def _read(self, register: int) -> bytes:
        code = self._engine.api.uc_reg_read(self._engine.handle, register, self._buffer)
        self._engine.library.check(code, f"cannot read register {register}")
        return bytes(self._bytes)


def _full_tags(abridged: int) -> int:
    """Return the tag word of FSAVE: two bits for each register, which here mean used or empty."""
    return sum(_TAG_EMPTY << 2 * index for index in range(8) if not abridged >> index & 1)


def _abridged_tags(full: int) -> int:
    return sum(1 << index for index in range(8) if full >> 2 * index & 3 != _TAG_EMPTY)
