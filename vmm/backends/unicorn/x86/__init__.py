"""x86_64 processors on the engine.

`vcpu` is the processor. It has one of two cores: `native` opens the engine's inside, by hooks in
machine code (`shims`, and for each kind of host `shims_x86_64`, `shims_aarch64`); `public` uses the
engine's public interface alone, so that `delivery` takes exceptions and interrupts to their
handlers in Python. Both stand on `state`, the registers as the engine keeps them, on `paging`, the
guest's page tables, and on `cpuid`. `burst` and `fpu` are for hosts whose KVM cannot execute some
instructions: they run a few of them here (`vmm.backends.assist`).
"""
