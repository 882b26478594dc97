"""The KVM backend: Linux's in-kernel hypervisor, driven by ioctls through cffi.

What the rest of the VMM uses is `hypervisor.open_kvm` and `selftest.examine`.

    hypervisor.py  /dev/kvm
    vm.py          what every machine has: RAM, vCPUs, event descriptors
    vcpu.py        what every vCPU has: the run loop, kicks
    x86_64.py      local APICs, the 8259's interrupts      (cpuid.py, x86_registers.py)
    arm64.py       GIC, PSCI                               (arm64_registers.py, stage1.py)
    selftest.py    whether this host's KVM is sound        (probe_x86_64.py, probe_arm64.py)

    abi*.py        request numbers and constants of the kernel
    cdef_*.h       its structures, of which build_ffi.py makes _ffi_<arch>.py
    foreign.py     the foreign functions, typed
    descriptor.py  file descriptors and the requests made on them
    errors.py      what a failed request says
    wakeup.py      the signal that interrupts KVM_RUN
"""
