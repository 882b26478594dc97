"""The engine's hidden flags are what the engine itself derives from the registers."""

from __future__ import annotations

from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.backends.registers import Segment
from vmm.backends.unicorn.engine import ARCH_X86, MODE_64, Engine
from vmm.backends.unicorn.internals import open_internals
from vmm.backends.unicorn.layout import X86_HFLAGS
from vmm.backends.unicorn.library import open_library
from vmm.backends.unicorn.x86 import state as x86_state
from vmm.backends.unicorn.x86.cpuid import MODEL
from vmm.backends.unicorn.x86.state import X86State
from vmm.errors import BackendUnavailable

# What the engine's function copies from RFLAGS (TF, IOPL, VM), where nothing keeps it up to date.
COPIED = 0x2_3100
SMAP = 1 << 23
CPL = 3
VM86 = 1 << 17

SEGMENTS = st.builds(
    Segment,
    st.integers(0, 0xFFFF),
    st.sampled_from((0, 0x1000)),
    st.just(0xFFFF_FFFF),
    st.builds(
        lambda dpl, code, bits: 0x93 | dpl << 5 | code << 3 | bits << 13,
        *map(st.integers, (0, 0, 0), (3, 1, 3)),
    ),
)


def bits(*numbers: int) -> st.SearchStrategy[int]:
    """Return numbers with any of these bits set."""
    return st.sets(st.sampled_from(numbers)).map(lambda chosen: sum(1 << bit for bit in chosen))


REGISTERS = st.fixed_dictionaries(
    {
        "cr0": bits(0, 1, 2, 3, 31),
        "cr4": bits(5, 9, 21),
        "efer": bits(0, 8, 10),
        "rflags": bits(0, 6, 8, 9, 12, 13, 17),
        **dict.fromkeys(("cs", "ds", "es", "ss"), SEGMENTS),
    }
)


def test_hidden_flags() -> None:
    library = open_library()
    internals = open_internals(library)
    if internals is None:
        pytest.skip("the engine's internals are not known for this build of its library")
    engine = Engine(library, internals, ARCH_X86, MODE_64, MODEL)
    state = X86State(engine)
    private = engine.state
    assert private is not None

    @given(REGISTERS)
    def check(registers: dict[str, int | Segment]) -> None:
        state.set_registers(registers)
        (ours,) = unpack_from("<I", state.load(), X86_HFLAGS)
        library.api.x86_update_hflags_x86_64(engine.ffi.cast("void *", private.env))
        (theirs,) = unpack_from("<I", state.load(), X86_HFLAGS)
        different = ours ^ theirs & ~COPIED
        # It leaves CR4.SMAP to others, and the privilege of virtual-8086 mode.
        cr4, rflags = registers["cr4"], registers["rflags"]
        assert isinstance(cr4, int)
        assert isinstance(rflags, int)
        assert bool(ours & SMAP) == bool(cr4 >> 21 & 1)
        if rflags & VM86:
            assert ours & CPL == 3
            different &= ~CPL
        assert different & ~SMAP == 0

    check()
    engine.close()


def test_an_unknown_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x86_state, "X86_EIP", x86_state.X86_EIP + 8)
    engine = Engine(open_library(), None, ARCH_X86, MODE_64, MODEL)
    with pytest.raises(BackendUnavailable, match="unknown layout"):
        X86State(engine)
    engine.close()
