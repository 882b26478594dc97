"""Which records of a trace are wanted."""

from __future__ import annotations

from fnmatch import fnmatchcase

from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

ACCESSES: Final = ("read", "write")
KINDS: Final = (*ACCESSES, "irq", "input", "request", "dma", "call", "guest")


class Selection:
    """A filter: ``WORD,WORD…``, each a pattern for devices or registers, or ``kind=KIND``.

    A pattern is a shell's: ``pl011``, ``virtio*``, ``virtio0.Queue*``, ``*.STATUS``. A record is
    wanted if one of the patterns fits, where there are any, and its kind is one of those named,
    where there are any.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Understand ``words``.

        Raises:
            UsageError: if one names no kind.
        """
        self._kinds = {word.removeprefix("kind=") for word in words if word.startswith("kind=")}
        self._patterns = [word for word in words if word and not word.startswith("kind=")]
        self._known: dict[tuple[str, str], bool] = {}
        unknown = self._kinds - set(KINDS)
        if unknown:
            raise UsageError(f"kind={min(unknown)}: the kinds are {', '.join(KINDS)}")

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Tell whether ``record`` is wanted; what describes devices and symbols always is."""
        kind = record["kind"]
        if kind not in KINDS:
            return True
        if self._kinds and kind not in self._kinds:
            return False
        return not self._patterns or self._fits(
            record.get("device", ""), record.get("register", "")
        )

    def complaint(self) -> str:
        """Say that there are patterns and that none has fitted anything; "" otherwise."""
        if not self._patterns or any(self._known.values()):
            return ""
        seen = ", ".join(sorted({device for device, _ in self._known if device})) or "nothing"
        return f"nothing fits {', '.join(self._patterns)}; there was {seen}"

    def _fits(self, device: str, register: str) -> bool:
        key = (device, register)
        known = self._known.get(key)
        if known is None:
            name = f"{device}.{register}"
            known = any(fnmatchcase(device, p) or fnmatchcase(name, p) for p in self._patterns)
            self._known[key] = known
        return known
