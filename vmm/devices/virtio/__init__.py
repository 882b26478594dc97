"""Virtio devices over memory-mapped registers (OASIS Virtual I/O Device, version 1.2).

Section numbers in this package are those of that specification.

`chain` takes descriptor chains apart, `queue` the rings they come through; `device` is what all
kinds of device have in common, `mmio` how a guest reaches one; the other modules are the devices.
"""
