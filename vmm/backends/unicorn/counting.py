"""Exact counts of the instructions that a guest begins: for measurements, not for every day."""

from __future__ import annotations

from vmm.backends.unicorn.engine import HOOK_BLOCK, HOOK_CODE
from vmm.backends.unicorn.shim import load_shims
from vmm.errors import VmmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vmm.backends.unicorn.engine import Engine


class InstructionCounter:
    """Counts while it is open; see `EngineVcpu.count_instructions`."""

    def __init__(self, engine: Engine) -> None:
        """Start to count; not during a run."""
        shims = load_shims(engine.library)
        if shims is None:
            raise VmmError("instructions cannot be counted: this host lets us run no native code")
        self._engine = engine
        self._count = engine.ffi.new("uint64_t *")
        cast = engine.ffi.cast
        self._hooks = [
            engine.add_hook(HOOK_CODE, cast("uintptr_t", shims.count), self._count),
            # With hooks on instructions the engine sets the program counter before each of them,
            # and not when it stops in front of a block, unless there is a hook on blocks too.
            engine.add_hook(HOOK_BLOCK, cast("uintptr_t", shims.nothing)),
        ]
        engine.flush_code()

    @property
    def value(self) -> int:
        """How many instructions the guest has begun; one that faults counts each time."""
        return int(self._count[0])

    def close(self) -> None:
        """Stop counting; not during a run. `value` stays as it is."""
        if self._hooks:
            for hook in self._hooks:
                self._engine.remove_hook(hook)
            self._engine.flush_code()
            self._engine.keep(self._count)
            self._hooks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
