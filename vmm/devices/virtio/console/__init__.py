"""The console device (virtio 1.2, section 5.3): a console, and named ports.

device.py   queues, features, control messages: what the driver sees
port.py     one port: bytes both ways
control.py  the layout of control messages
host.py     the host's ends of ports: UNIX sockets, files, descriptors
"""
