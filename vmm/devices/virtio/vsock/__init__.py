"""Socket device (section 5.10): streams between programs of the guest and of the host.

`device` is the device, `packet` what passes through its queues, `host` the UNIX sockets at which
programs of the host meet it.
"""
