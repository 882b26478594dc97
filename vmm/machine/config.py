"""What a machine is to be: a frozen value, checked when it is made."""

from __future__ import annotations

from vmm.arch import ARCHITECTURES
from vmm.errors import UsageError
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.arch import Arch
    from vmm.devices.peripheral import Peripheral

BACKENDS: Final = ("auto", "kvm", "unicorn")

MIN_MEMORY: Final = 1 << 20
MAX_MEMORY: Final = 1 << 40
DEFAULT_MEMORY: Final = 64 << 20
PAGE_SIZE: Final = 4096
MAX_CPUS: Final = 16

_MAX_DIGITS: Final = 20  # of a size; Python converts thousands of them only when asked to

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@value
class MachineConfig:
    """A whole machine in one value.

    Attributes:
        image: path of an image or program, or the name of a bundled program.
        arguments: of the program, without its own name.
        arch: the guest's architecture; None: the image's, or the host's for a bundled program.
        backend: ``auto``, ``kvm`` or ``unicorn``.
        memory: size of RAM in bytes.
        cpus: number of vCPUs.
        command_line: of the kernel.
        initrd: path of a cpio archive for the root file system, or None.
        environment: of the program.
        board: what the board shall be like, in the words of `vmm.boards.options.parse_board`; what
            they leave open is as the image expects it.
        disks: virtio disks, each as ``--disk`` says it.
        root: the directory that is the root file system, as ``--root`` says it, or ""; the image
            is then a program in it.
        shares: directories for the guest to mount by 9P, each as ``--share`` says it.
        vsocks: UNIX sockets for connections with the guest, each as ``--vsock`` says it.
        nets: virtio network interfaces, each as ``--net`` says it.
        ports: named ports of the virtio console, each as ``--port`` says it.
        devices: further devices, each as ``--device`` says it, or an object.
        trace: where a trace goes, as ``--trace`` says it; "" for none.
        trace_format: ``jsonl`` or ``perfetto``.
        services: whether the host may make the guest's system calls itself (`Machine.guest`).
        strace: whether Calypso's kernel writes the program's system calls to its log.
        assist: execute on the Unicorn engine what KVM refuses to.
    """

    image: str
    arguments: tuple[str, ...] = ()
    arch: Arch | None = None
    backend: str = "auto"
    memory: int = DEFAULT_MEMORY
    cpus: int = 1
    command_line: str = ""
    initrd: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    board: str = ""
    disks: tuple[str, ...] = ()
    nets: tuple[str, ...] = ()
    root: str = ""
    shares: tuple[str, ...] = ()
    vsocks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    devices: tuple[str | Peripheral, ...] = ()
    trace: str = ""
    trace_format: str = "jsonl"
    strace: bool = False
    assist: bool = True
    services: bool = False

    @property
    def attached(self) -> bool:
        """Tell whether any device is added to the board."""
        several = (self.disks, self.nets, self.shares, self.vsocks, self.ports, self.devices)
        return any((self.root, *several))

    def check(self) -> MachineConfig:
        """Return the same value.

        Raises:
            UsageError: naming the first field that cannot be.
        """
        if self.backend not in BACKENDS:
            raise UsageError(f"backend {self.backend!r} is not one of {', '.join(BACKENDS)}")
        if self.arch is not None and self.arch not in ARCHITECTURES:
            raise UsageError(f"architecture {self.arch!r} is not one of {', '.join(ARCHITECTURES)}")
        if not MIN_MEMORY <= self.memory <= MAX_MEMORY:
            raise UsageError(f"memory of {self.memory} bytes is not between 1M and 1024G")
        if self.memory % PAGE_SIZE:
            raise UsageError(f"memory of {self.memory} bytes is not a multiple of 4K")
        if not 1 <= self.cpus <= MAX_CPUS:
            raise UsageError(f"{self.cpus} vCPUs are not between 1 and {MAX_CPUS}")
        if self.root and self.initrd is not None:
            raise UsageError("a machine has one root file system: give --root or --initrd")
        if self.trace_format != "jsonl" and not self.trace:
            raise UsageError(f"--trace-format {self.trace_format}: there is no --trace FILE")
        self._check_texts()
        for name, content in self.environment:
            if not name or "=" in name or "\0" in name + content:
                raise UsageError(f"environment variable {name!r} has no valid name or content")
        return self

    def _check_texts(self) -> None:
        for text in (self.image, self.command_line, self.trace, *self.arguments):
            if "\0" in text:
                raise UsageError(
                    "a NUL character cannot be in the image's name, its arguments,"
                    " the kernel's command line or a trace's name"
                )
        named = [device for device in self.devices if isinstance(device, str)]
        several = (*self.disks, *self.nets, *self.shares, *self.vsocks, *self.ports)
        for text in (*several, self.root, *named):
            if "\0" in text:
                raise UsageError(f"a NUL character cannot be in a device's option: {text!r}")


def parse_size(text: str) -> int:
    """Return the number of bytes that ``text`` means: ``64M``, ``2G``, ``65536``, ``128MiB``.

    Raises:
        UsageError: if it means none.
    """
    digits = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = digits[-1:] if digits[-1:] in _UNITS else ""
    number = digits.removesuffix(unit) if unit else digits
    if not (number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS):
        raise UsageError(f"{text!r} is not a size; write for example 64M or 2G")
    return int(number) * _UNITS[unit]


def load_config(path: str) -> MachineConfig:
    """Read a machine from a TOML file whose keys are the fields of `MachineConfig`.

    ``memory`` may be a string with a unit; ``environment`` is a table.

    Raises:
        UsageError: naming the file and the key that is wrong.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    fields: dict[str, object] = {}
    for key, content in table.items():
        convert = _FROM_TOML.get(key)
        if convert is None:
            raise UsageError(f"{path}: unknown key {key!r}; known: {', '.join(_FROM_TOML)}")
        try:
            fields[key] = convert(content)
        except (TypeError, AttributeError):
            raise UsageError(f"{path}: key {key!r} cannot be {content!r}") from None
    if "image" not in fields:
        raise UsageError(f"{path}: key 'image' is missing")
    return MachineConfig(**fields).check()  # type: ignore[arg-type]


def _text(content: object) -> str:
    if not isinstance(content, str):
        raise TypeError
    return content


def _number(content: object) -> int:
    if not isinstance(content, int) or isinstance(content, bool):
        raise TypeError
    return content


def _flag(content: object) -> bool:
    if not isinstance(content, bool):
        raise TypeError
    return content


def _texts(content: object) -> tuple[str, ...]:
    if not isinstance(content, list):
        raise TypeError
    return tuple(_text(item) for item in content)


def _size(content: object) -> int:
    return parse_size(content) if isinstance(content, str) else _number(content)


def _table(content: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(content, dict):
        raise TypeError
    return tuple((str(key), _text(item)) for key, item in content.items())


_FROM_TOML: Final = {
    "image": _text,
    "arguments": _texts,
    "arch": _text,
    "backend": _text,
    "memory": _size,
    "cpus": _number,
    "command_line": _text,
    "initrd": _text,
    "environment": _table,
    "board": _text,
    "disks": _texts,
    "nets": _texts,
    "root": _text,
    "shares": _texts,
    "vsocks": _texts,
    "ports": _texts,
    "devices": _texts,
    "trace": _text,
    "trace_format": _text,
    "strace": _flag,
    "assist": _flag,
    "services": _flag,
}
