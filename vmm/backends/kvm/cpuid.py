"""What CPUID says to a guest: all that this host's KVM supports, and each vCPU's own number."""

from __future__ import annotations

from struct import Struct

from vmm.backends.kvm import abi_x86_64
from vmm.backends.kvm.foreign import ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.kvm.foreign import CData
    from vmm.backends.kvm.hypervisor import Kvm

# struct kvm_cpuid2 without its entries, and struct kvm_cpuid_entry2 without its padding.
_HEADER: Final = Struct("<II")
_ENTRY: Final = Struct("<7I12x")

# More than KVM knows (KVM_MAX_CPUID_ENTRIES).
_MAX_ENTRIES: Final = 256

# Leaves that hold a processor's own number (Intel SDM volume 2, CPUID; APM volume 3, E.4.17).
_FEATURES: Final = 0x01  # EBX[31:24]: initial APIC id
_TOPOLOGY: Final = (0x0B, 0x1F)  # EDX: x2APIC id
_EXTENDED_STATE: Final = 0x0D  # EAX: size, EBX: offset of the component that is the subleaf
_FIRST_COMPONENT: Final = 2  # 0 and 1 are x87 and SSE, at the places of FXSAVE
_AMD_TOPOLOGY: Final = 0x8000_001E  # EAX: extended APIC id

_ECX_TSC_DEADLINE: Final = 1 << 24
_ECX_HYPERVISOR: Final = 1 << 31

_Entry = tuple[int, int, int, int, int, int, int]

# The answer is the same for all machines of a process, and asking takes a third of a millisecond.
_supported: list[_Entry] = []
_made: dict[int, CData] = {}


def entries_for(kvm: Kvm, index: int) -> CData:
    """Return the ``struct kvm_cpuid2`` of vCPU ``index``."""
    made = _made.get(index)
    if made is None:
        made = _made[index] = _make(kvm, index)
    return made


def _make(kvm: Kvm, index: int) -> CData:
    entries = _entries(kvm)
    packed = _HEADER.pack(len(entries), 0) + b"".join(
        [_ENTRY.pack(*_numbered(entry, index)) for entry in entries]
    )
    cpuid = ffi.new("struct kvm_cpuid2 *", {"entries": len(entries)})
    ffi.buffer(cpuid, len(packed))[:] = packed
    return cpuid


def extended_components(kvm: Kvm) -> dict[int, tuple[int, int]]:
    """Return offset and size of each component in XSAVE's standard format, by its bit in XCR0."""
    return {
        subleaf: (ebx, eax)
        for function, subleaf, _, eax, ebx, _, _ in _entries(kvm)
        if function == _EXTENDED_STATE and subleaf >= _FIRST_COMPONENT and eax
    }


def _entries(kvm: Kvm) -> list[_Entry]:
    if not _supported:
        _supported[:] = _query(kvm)
    return _supported


def _query(kvm: Kvm) -> list[_Entry]:
    cpuid = ffi.new("struct kvm_cpuid2 *", {"entries": _MAX_ENTRIES})
    cpuid.nent = _MAX_ENTRIES
    kvm.descriptor.call(abi_x86_64.KVM_GET_SUPPORTED_CPUID, "CPUID of this host", cpuid)
    data = bytes(ffi.buffer(cpuid, _HEADER.size + cpuid.nent * _ENTRY.size))[_HEADER.size :]
    # KVM leaves both to the VMM: that there is a hypervisor, and its local APIC's deadline timer.
    extra = _ECX_HYPERVISOR
    if kvm.capability(abi_x86_64.KVM_CAP_TSC_DEADLINE_TIMER):
        extra |= _ECX_TSC_DEADLINE
    entries = []
    for function, subleaf, flags, eax, ebx, ecx, edx in _ENTRY.iter_unpack(data):
        added = extra if function == _FEATURES else 0
        entries.append((function, subleaf, flags, eax, ebx, ecx | added, edx))
    return entries


def _numbered(entry: _Entry, index: int) -> _Entry:
    function, subleaf, flags, eax, ebx, ecx, edx = entry
    if function == _FEATURES:
        ebx = ebx & 0x00FF_FFFF | index << 24 & 0xFF00_0000
    elif function in _TOPOLOGY:
        edx = index
    elif function == _AMD_TOPOLOGY:
        eax = index
    return function, subleaf, flags, eax, ebx, ecx, edx
