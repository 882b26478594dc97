"""Virtio devices over memory-mapped registers (OASIS Virtual I/O Device, version 1.2).

Section numbers in this package are those of that specification.

`queue` is what a virtqueue is to a device, `split` and `packed` are the two layouts of its rings,
`chain` is one buffer from there; `device` is what all kinds of device have in common, `mmio` how a
guest reaches one; the other modules are the devices.
"""
