"""Emulation assist: what KVM refuses to execute is executed beside it, on the same state.

Some KVMs run a guest's ring 0 by an emulator that knows integer instructions alone. `assistant`
takes over there: the Unicorn engine executes the instruction, and a few more, over the same RAM
and registers (`vmm.backends.unicorn.x86.burst`); accesses to the extended state, which only KVM
has whole, are carried out on KVM's own copy (`xsave`). Nothing here is loaded before it is needed.
"""
