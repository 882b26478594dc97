"""9P transport (device 9): directories of the host.

`device` is the device and its server, `message` the protocol's messages, `fids` the files that a
guest has numbers for, `file` an open one, `share` the shared directory, out of which nothing leads.
"""
