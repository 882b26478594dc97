"""The KVM backend: Linux's in-kernel hypervisor, driven by ioctls through cffi.

hypervisor.py  /dev/kvm                       abi*.py      request numbers and constants
vm.py          what every machine has         cdef_*.h     C declarations
vcpu.py        the run loop                   build_ffi.py writes _ffi_<arch>.py from them
x86_64.py      local APICs, 8259, CPUID       foreign.py   the typed foreign functions
arm64.py       in-kernel GIC, PSCI            descriptor.py, errors.py, wakeup.py
selftest.py    tells a sound KVM from one that only looks like it
"""
