"""The probe of x86_64: the speed of ring 0, SSE there, and SYSCALL out of ring 3.

    0x0000  unused            0x4000  GDT, in the order that SYSCALL and SYSRET need
    0x1000  PML4              0x5000  the program
    0x2000  page directory    0x8000  top of its stack
            pointers
    0x3000  page directory: one page of 2 MiB, of which 64 KiB are RAM, open to ring 3

The program times a loop in ring 0, goes to ring 3, times it there, and makes a system call whose
entry tells its code segment. Comparing the rings to each other makes the measure independent of the
host's speed and of whether KVM itself runs under an emulator.
"""

from __future__ import annotations

from struct import pack

from vmm.arch import X86_64
from vmm.backends.exits import InternalError, Interrupted
from vmm.backends.kvm.selftest import EndOfProbe
from vmm.backends.registers import DescriptorTable, Segment
from vmm.memory import Gpa, GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import Registers
    from vmm.backends.kvm.hypervisor import Kvm
    from vmm.backends.kvm.vcpu import KvmVcpu

FINDINGS = 3

_SIZE: Final = 0x1_0000
_PML4: Final = 0x1000
_POINTERS: Final = 0x2000
_DIRECTORY: Final = 0x3000
_GDT: Final = 0x4000
_ENTRY: Final = 0x5000
_STACK: Final = 0x8000

# Present, writable, open to ring 3; and a page rather than a table.
_TABLE_FLAGS: Final = 0b111
_PAGE_FLAGS: Final = 1 << 7 | _TABLE_FLAGS

# Linux's order: null, -, kernel code, kernel data, 32-bit user code, user data, user code.
_DESCRIPTORS: Final = (
    0,
    0,
    0x00AF_9B00_0000_FFFF,
    0x00CF_9300_0000_FFFF,
    0x00CF_FB00_0000_FFFF,
    0x00CF_F300_0000_FFFF,
    0x00AF_FB00_0000_FFFF,
)
_KERNEL_CODE: Final = Segment(0x10, 0, 0xFFFF_FFFF, 0xA09B)
_KERNEL_DATA: Final = Segment(0x18, 0, 0xFFFF_FFFF, 0xC093)

_CR0: Final = 0x8000_0033  # PG, NE, ET, MP, PE
_CR4: Final = 0x0000_0220  # OSFXSR, PAE
_EFER: Final = 0x0000_0501  # LMA, LME, SCE

_PROGRAM: Final = bytes.fromhex(
    "66 0f ef c0"  # entry:   pxor  xmm0, xmm0
    "b9 81 00 00 c0"  #       mov   ecx, IA32_STAR
    "31 c0"  #                xor   eax, eax
    "ba 10 00 23 00"  #       mov   edx, 0x230010        ; SYSRET and SYSCALL selectors
    "0f 30"  #                wrmsr
    "ff c1"  #                inc   ecx                  ; IA32_LSTAR
    "b8 3d 50 00 00"  #       mov   eax, kernel
    "31 d2"  #                xor   edx, edx
    "0f 30"  #                wrmsr
    "e8 1f 00 00 00"  #       call  measure
    "41 89 d8"  #             mov   r8d, ebx             ; ticks in ring 0
    "b9 33 50 00 00"  #       mov   ecx, user
    "41 bb 02 30 00 00"  #    mov   r11d, 0x3002         ; IOPL 3, so that ring 3 may use ports
    "48 0f 07"  #             sysretq
    "e8 09 00 00 00"  # user: call  measure
    "41 89 d9"  #             mov   r9d, ebx             ; ticks in ring 3
    "0f 05"  #                syscall
    "8c c8"  #        kernel: mov   eax, cs
    "e6 80"  #                out   0x80, al             ; the end
    "bb ff ff ff ff"  # measure: mov ebx, -1             ; the best of three
    "bf 03 00 00 00"  #       mov   edi, 3
    "0f 31"  #        again:  rdtsc
    "89 c6"  #                mov   esi, eax
    "b9 32 00 00 00"  #       mov   ecx, 50
    "ff c9"  #        turn:   dec   ecx
    "75 fc"  #                jnz   turn
    "0f 31"  #                rdtsc
    "29 f0"  #                sub   eax, esi
    "39 d8"  #                cmp   eax, ebx
    "0f 42 d8"  #             cmovb ebx, eax
    "ff cf"  #                dec   edi
    "75 e6"  #                jnz   again
    "c3"  #                   ret
)
_SSE_LENGTH: Final = 4
# What follows the access to port 0x80.
_END: Final = _ENTRY + 0x41

# Ring 0 of a sound KVM is as fast as ring 3; emulated, it is some hundred times slower.
_MAX_SLOWDOWN: Final = 10

# The privilege level in a selector.
_RPL: Final = 0b11


def probe(kvm: Kvm) -> tuple[int, ...]:
    """Return how many times slower ring 0 is than ring 3, if SSE works there, if SYSCALL does."""
    with GuestMemory([(Gpa(0), _SIZE)]) as memory:
        _fill(memory)
        vm = kvm.create_vm(X86_64, memory)
        try:
            end = EndOfProbe()
            end.vcpu = vcpu = vm.create_vcpu(0, end)
            return _observe(vcpu)
        finally:
            vm.close()


def problems(findings: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    """Return each property with what is wrong with it, empty where it holds."""
    slowdown, sse, system_call = findings
    slow = slowdown > _MAX_SLOWDOWN
    return (
        ("ring 0 runs natively", f"ring 0 is {slowdown} times slower than ring 3" if slow else ""),
        ("SSE in ring 0", "" if sse else "no SSE in ring 0"),
        ("SYSCALL enters ring 0", "" if system_call else "SYSCALL does not enter ring 0"),
    )


def _fill(memory: GuestMemory) -> None:
    memory.write_u64(_PML4, _POINTERS | _TABLE_FLAGS)
    memory.write_u64(_POINTERS, _DIRECTORY | _TABLE_FLAGS)
    memory.write_u64(_DIRECTORY, _PAGE_FLAGS)
    memory.write(_GDT, pack(f"<{len(_DESCRIPTORS)}Q", *_DESCRIPTORS))
    memory.write(_ENTRY, _PROGRAM)


def _observe(vcpu: KvmVcpu) -> tuple[int, ...]:
    vcpu.set_registers(
        {
            "cs": _KERNEL_CODE,
            **dict.fromkeys(("ds", "es", "ss"), _KERNEL_DATA),
            "gdtr": DescriptorTable(_GDT, len(_DESCRIPTORS) * 8 - 1),
            "idtr": DescriptorTable(0, 0),
            "cr0": _CR0,
            "cr3": _PML4,
            "cr4": _CR4,
            "efer": _EFER,
            "rip": _ENTRY,
            "rsp": _STACK,
        }
    )
    exit_ = vcpu.run()
    sse = not isinstance(exit_, InternalError)
    if not sse:
        vcpu.set_registers({"rip": _ENTRY + _SSE_LENGTH})
        exit_ = vcpu.run()
    registers = vcpu.registers()
    if not isinstance(exit_, Interrupted) or registers["rip"] != _END:
        # It never came to the end, for which there is no other way than that system call.
        return 1, int(sse), 0
    code_segment, ring0, ring3 = _integers(registers, "rax", "r8", "r9")
    return max(ring0 // max(ring3, 1), 1), int(sse), int(code_segment & _RPL == 0)


def _integers(registers: Registers, *names: str) -> list[int]:
    return [int(registers[name]) for name in names]  # type: ignore[arg-type]
