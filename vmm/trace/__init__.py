"""Traces: what a guest and its devices did to each other, in the words of the register maps.

`recorder` writes one while a machine runs, `reader` reads it back; `listing`, `statistics` and
`timeline` show it, `replay` drives a fresh device with it. Nothing here is loaded in a machine that
is not traced.

A trace is JSON Lines: a header, then one object per record, told apart by ``kind``:

* ``read``, ``write``: an access on the bus, with ``device``, ``register``, ``offset``, ``size``,
  ``value``, ``fields``, ``vcpu``, ``pc`` and ``given``, what came from the host during it;
* ``irq``: a device drove its interrupt ``line`` to ``level``;
* ``input``: the host called ``method`` of the device with ``arguments``;
* ``request``: a virtqueue's request, from when the device took it until it was given back:
  ``queue``, ``head``, ``descriptors`` (address, length, device-writable), ``summary``, ``written``;
* ``guest``: a ``text`` that the guest's kernel said by its trace service;
* ``device``: from here on there is a device ``device`` of ``class``, with the ``state`` it is in;
* ``symbol``: the name of the code at ``pc``.

``t`` is guest time in ns, ``took`` a duration in ns; ``n`` orders records that begin at one time.
Records are written when they end.
"""
