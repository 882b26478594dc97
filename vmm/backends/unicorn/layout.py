"""Where the engine keeps its private state: offsets into C structures of one release.

The figures are those of the C sources of release 2.1.4, compiled for each host architecture; the
structures differ between hosts only behind a ``jmp_buf``. They hold for the builds listed with
them. Any other build must pass the self-test in `internals` first.
"""

from __future__ import annotations

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


@value
class Layout:
    """Offsets that depend on the host's architecture, in bytes.

    Attributes:
        builds: GNU build ids of the shared libraries for which the table was verified.
        uc_stop_interrupt: in ``struct uc_struct``: function that keeps exceptions from hooks.
        uc_cpu: in ``struct uc_struct``: pointer to the one CPU.
        uc_no_exit_request: in ``struct uc_struct``: byte; 1 leaves out exits between the
            instructions of a block when code is translated.
        uc_next_pc: in ``struct uc_struct``: 64 bits that only MIPS targets use.
        uc_init_done: in ``struct uc_struct``: byte; 1 once the engine is initialised.
        uc_mapped_blocks: in ``struct uc_struct``: pointer to an array of ``MemoryRegion *``.
        uc_mapped_block_count: in ``struct uc_struct``: its length, 32 bits.
        region_address: in ``MemoryRegion``: where it is in guest-physical memory, 64 bits.
        region_operations: in ``MemoryRegion``: pointer to ``MemoryRegionOps``.
        operations_largest_access: in ``MemoryRegionOps``: ``impl.max_access_size``, 32 bits.
        cpu_interrupt_request: in ``CPUState``: 32 bits; pending ``CPU_INTERRUPT_*``.
        cpu_env: in ``CPUState``: pointer to the architecture's registers.
        cpu_icount: in ``CPUState``: pointer to the counter that blocks check as they start.
        cpu_halted: in ``CPUState``: 32 bits; the guest waits for an interrupt.
        cpu_uc: in ``CPUState``: pointer back to ``struct uc_struct``.
        arm_registers: in ``ARMCPU``: pointer to the hash table of system registers.
        arm_level_hooks: in ``ARMCPU``: heads of two lists of functions called around each change
            of exception level.
        got_aarch64: where in the library it keeps the addresses of functions that `coherence`
            redirects, for targets of this architecture.
        got_x86_64: the same for the other.
    """

    builds: tuple[str, ...]
    uc_stop_interrupt: int
    uc_cpu: int
    uc_no_exit_request: int
    uc_next_pc: int
    uc_init_done: int
    uc_mapped_blocks: int
    uc_mapped_block_count: int
    region_address: int
    region_operations: int
    operations_largest_access: int
    cpu_interrupt_request: int
    cpu_env: int
    cpu_icount: int
    cpu_halted: int
    cpu_uc: int
    arm_registers: int
    arm_level_hooks: int
    got_aarch64: tuple[int, ...]
    got_x86_64: tuple[int, ...]


# By the host's machine name (uname -m).
LAYOUTS: Final = {
    "x86_64": Layout(
        builds=("44285d3e80527122e9e361928189385906ec813e",),
        uc_stop_interrupt=224,
        uc_cpu=440,
        uc_no_exit_request=2034,
        uc_next_pc=2024,
        uc_init_done=2035,
        uc_mapped_blocks=1960,
        uc_mapped_block_count=1968,
        region_address=64,
        region_operations=16,
        operations_largest_access=68,
        cpu_interrupt_request=28,
        cpu_env=296,
        cpu_icount=304,
        cpu_halted=33176,
        cpu_uc=33192,
        arm_registers=54544,
        arm_level_hooks=55072,
        got_aarch64=(0x14BFAC8, 0x14BD608, 0x14C0340, 0x14C9738),
        got_x86_64=(0x14C22D8, 0x14C4020, 0x14BFCE8, 0x14C67F8),
    ),
    "aarch64": Layout(
        builds=("0ca94f9db50b8ec0f19d911ea473b67f9f50f069",),
        uc_stop_interrupt=224,
        uc_cpu=440,
        uc_no_exit_request=2034,
        uc_next_pc=2024,
        uc_init_done=2035,
        uc_mapped_blocks=1960,
        uc_mapped_block_count=1968,
        region_address=64,
        region_operations=16,
        operations_largest_access=68,
        cpu_interrupt_request=28,
        cpu_env=408,
        cpu_icount=416,
        cpu_halted=33288,
        cpu_uc=33304,
        arm_registers=54656,
        arm_level_hooks=55184,
        got_aarch64=(0x13339F8, 0x13315C0, 0x1334240, 0x133D408),
        got_x86_64=(0x1336188, 0x1337E50, 0x1333C00, 0x133A580),
    ),
}

# In the register structures of the guests, the same on both hosts.

# CPUARMState
ARM_X0: Final = 64
ARM_PC: Final = 320
ARM_SYNDROME: Final = 3024
ARM_FAULT_ADDRESS: Final = 3032

# CPUX86State. Registers are in the order of their encoding: rax rcx rdx rbx rsp rbp rsi rdi r8…;
# segments es cs ss ds fs gs, of 24 bytes each: selector, base (+8), limit (+16), flags (+20).
X86_REGS: Final = 0
X86_EIP: Final = 128
X86_EFLAGS: Final = 136  # without the arithmetic flags and DF, which follow
X86_CC_SRC: Final = 152
X86_CC_OP: Final = 168
X86_DF: Final = 172
X86_HFLAGS: Final = 176
X86_SEGS: Final = 184
X86_LDT: Final = 328
X86_TR: Final = 352
X86_GDT: Final = 376
X86_IDT: Final = 400
X86_CR: Final = 424
X86_EFER: Final = 592
X86_STAR: Final = 4824
X86_LSTAR: Final = 4840
X86_CSTAR: Final = 4848
X86_FMASK: Final = 4856
X86_TSC_AUX: Final = 4896
X86_ERROR_CODE: Final = 5384
X86_EXCEPTION_IS_INT: Final = 5388
X86_EXCEPTION_NEXT_EIP: Final = 5392
X86_OLD_EXCEPTION: Final = 5496
X86_VM_VMCB: Final = 5504
X86_TSC_OFFSET: Final = 5512
X86_VERSION: Final = 5628  # EAX of CPUID's leaf 1
X86_FEATURES: Final = 5632  # 64 bits each: CPUID words in the order of FeatureWord
# X86CPU, relative to the CPUX86State inside
X86_APIC_ID: Final = 7024
