"""Control messages of a console device with several ports (section 5.3.6.2)."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# struct virtio_console_control: id of the port, event, value.
MESSAGE: Final = Struct("<IHH")

# Behind a message EVENT_RESIZE: struct virtio_console_resize: columns, rows.
SIZE: Final = Struct("<HH")

EVENT_DEVICE_READY: Final = 0
EVENT_PORT_ADD: Final = 1
EVENT_PORT_REMOVE: Final = 2
EVENT_PORT_READY: Final = 3
EVENT_CONSOLE_PORT: Final = 4
EVENT_RESIZE: Final = 5
EVENT_PORT_OPEN: Final = 6
EVENT_PORT_NAME: Final = 7
