"""Python's debugger, for one step of a replay."""

from __future__ import annotations

from bdb import BdbQuit
from pdb import Pdb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Debugger(Pdb):
    """pdb that tells its caller when its user has had enough."""

    _left = False

    def set_quit(self) -> None:
        self._left = True
        super().set_quit()

    def runcall(self, func: Callable[..., Any], *args: Any, **kwds: Any) -> Any:  # type: ignore[override]
        """Call ``func`` and stop at its first line.

        Raises:
            BdbQuit: if the user has left the debugger.
        """
        result = super().runcall(func, *args, **kwds)
        if self._left:
            raise BdbQuit
        return result
