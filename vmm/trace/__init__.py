"""Traces: what a guest and its devices did to each other, in the words of the register maps.

`recorder` writes one while a machine runs, by way of a bus of its own (`traced_bus`) and a `tap` at
each device, which may stand between the device and RAM (`bounce`) and between it and the host
(`ends`). `reader` reads it back; `listing`, `statistics` and `timeline` show it; `replay` drives a
fresh device with it and holds it to the `script`. Nothing here is loaded in a machine that is not
traced.

A trace is JSON Lines: a header, then one object per record, told apart by ``kind``:

* ``read``, ``write``: an access on the bus, with ``device``, ``register``, ``offset``, ``size``,
  ``value``, ``fields``, ``vcpu``, ``pc`` and ``given``, what came from the host during it;
* ``irq``: a device drove its interrupt ``line`` to ``level``;
* ``input``: the host called ``method`` of the device, or of its ``part``, with ``arguments``;
* ``request``: a virtqueue's request, from when the device took it until it was given back:
  ``queue``, ``head``, ``descriptors`` (address, length, device-writable), ``summary``, ``written``;
* ``dma``: an access of the device to RAM, ``op`` being ``read``, ``write`` or ``discard``, with
  ``address``, ``length``, and ``data``, all of it;
* ``call``: the device asked its host's ``end`` to carry out ``method`` with ``arguments``, which
  gave ``result`` or ``error``, and ``filled`` buffers;
* ``guest``: a ``text`` that the guest's kernel said by its trace service;
* ``device``: from here on there is a device ``device`` of ``class``, with the ``state`` it is in;
* ``symbol``: the name of the code at ``pc``.

``t`` is guest time in ns, ``took`` a duration in ns; ``n`` orders records that begin at one time.
Records are written when they end; ``in`` is the ``n`` of the one of the same device that an access,
input or call happens during. ``dma`` and ``call`` are in traces for replays only, which
``--trace FILE,replay`` asks for.
"""
