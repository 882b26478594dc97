"""What CPUID says beyond what the engine answers by itself.

The engine keeps to itself that it has RDSEED and pages of 1 GiB. The other leaves tell how fast
counters and timers run, so that a guest need not measure: Intel's (SDM volume 2, leaves 15H and
16H) and the one that hypervisors share.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Frequency of the local APIC's timer, as `vmm.devices.local_apics` has it, which Linux takes the
# crystal's for, and of the time-stamp counter, in Hz. There are kernels, Unikraft among them, that
# keep nanoseconds by a tick as a fraction of 32 bits: at 1 GHz or less their time stands still.
_CRYSTAL_HZ: Final = 1_000_000_000
TICKS_PER_NS: Final = 2
COUNTER_HZ: Final = _CRYSTAL_HZ * TICKS_PER_NS
_CRYSTAL_KHZ: Final = _CRYSTAL_HZ // 1_000
_KHZ: Final = COUNTER_HZ // 1_000
_MHZ: Final = COUNTER_HZ // 1_000_000
_BUS_MHZ: Final = 100

_RDSEED: Final = 1 << 18
_PAGES_1G: Final = 1 << 26

# UC_CPU_X86_SKYLAKE_CLIENT: all instruction sets that the engine has, and none that it has not.
MODEL: Final = 21

# What leaf 1 says it is, where the engine's inside is open: family 6, model 1CH, stepping 10, an
# Atom that executes in order. Nothing is executed speculatively here, yet for a Skylake Linux
# changes page tables at each system call, which costs the engine its address translations.
VERSION: Final = 0x0001_06CA

STRUCTURED_FEATURES: Final = 7
_EXTENDED_FEATURES: Final = 0x8000_0001

# EAX, EBX, ECX, EDX by leaf, for this model; of leaf 7 this is subleaf 0. Without ERMS, so that
# kernels copy memory by words and not by bytes: each is a turn of the engine's loop.
LEAVES: Final = {
    0x0: (0x16, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),  # GenuineIntel
    STRUCTURED_FEATURES: (0, 0x0018_0189 | _RDSEED, 0, 0),
    0x15: (1, TICKS_PER_NS, _CRYSTAL_HZ, 0),
    0x16: (_MHZ, _MHZ, _BUS_MHZ, 0),
    0x4000_0000: (0x4000_0010, 0x5447_4354, 0x4354_4743, 0x4743_5447),  # TCGTCGTCGTCG
    0x4000_0010: (_KHZ, _CRYSTAL_KHZ, 0, 0),
    # Without RDTSCP: kernels prefer it to RDTSC, which alone is sure of our clock (`native`).
    _EXTENDED_FEATURES: (0x0005_06E3, 0, 0x21, 0x2010_0800 | _PAGES_1G),
}

# For the hook in `shims`: leaf, bits of ECX that must be 0, then the four registers.
_ENTRY: Final = Struct("<6I")
_LAST: Final = 0xFFFF_FFFF


def table(env: int) -> bytes:
    """Return the hook's user data: the address of the CPU state, the leaves, a last entry."""
    leaves = LEAVES | {_EXTENDED_FEATURES: (VERSION, *LEAVES[_EXTENDED_FEATURES][1:])}
    entries = [
        _ENTRY.pack(leaf, _LAST if leaf == STRUCTURED_FEATURES else 0, *registers)
        for leaf, registers in leaves.items()
    ]
    return env.to_bytes(8, "little") + b"".join(entries) + _ENTRY.pack(_LAST, 0, 0, 0, 0, 0)
