"""A machine: what it is made of, and what its users see of it. How it runs is in `execution`."""

from __future__ import annotations

import os

from vmm.arch import ARCHITECTURES, X86_64, host_arch, parse_arch
from vmm.backends.select import open_backend
from vmm.boards import board_for
from vmm.bus import Bus
from vmm.console import Console
from vmm.errors import GuestTimeout, UsageError, VmmError
from vmm.images.bundled import find_image, kernel_path
from vmm.images.image import HERMIT, SOLO5_HVT
from vmm.images.recognise import open_image, recognise
from vmm.machine.clock import MachineClock
from vmm.machine.config import MachineConfig
from vmm.machine.execution import Execution
from vmm.machine.payload import load_image
from vmm.memory import GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Final, Self

    from vmm.arch import Arch
    from vmm.backends.api import RegisterValue, VirtualMachine
    from vmm.boards.options import BoardOptions
    from vmm.devices.peripheral import Peripheral
    from vmm.images.image import Image
    from vmm.machine.attachments import Attachments
    from vmm.machine.caller import Caller
    from vmm.machine.payload import Place
    from vmm.service.guest import Guest
    from vmm.trace.recorder import Recorder

__all__: Final = ("GuestTimeout", "Machine")


class Machine(Execution):
    """One virtual machine.

    A machine belongs to whoever made it; different machines may be used by different threads at
    once. Within one machine, `stop`, `console` and the properties may be used from any thread.

    Attributes:
        config: what it was made from.
        console: the guest's console.
        arch: the guest's architecture.
        title: what is booted how on which board, in one line.
        backend: the name of the backend that executes it.
        backend_reason: why that one, in one line.
        bus: its devices, by address.
        memory: its RAM.
        outcome: how it ended; None until then.
        vcpus: its processors.
        assistants: by vCPU, who executes what KVM has refused to.
        recorder: writes the trace; None if it is not traced.
        turn: held by the thread that executes the guest.
    """

    def __init__(
        self,
        image: str | os.PathLike[str],
        args: Sequence[str | os.PathLike[str]] = (),
        *,
        arch: str | None = None,
        backend: str = "auto",
        memory: int | str = "64M",
        cpus: int = 1,
        cmdline: str = "",
        initrd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        board: str = "",
        disks: Sequence[str | os.PathLike[str]] = (),
        nets: Sequence[str | os.PathLike[str]] = (),
        root: str | os.PathLike[str] = "",
        shares: Sequence[str | os.PathLike[str]] = (),
        vsocks: Sequence[str | os.PathLike[str]] = (),
        ports: Sequence[str | os.PathLike[str]] = (),
        devices: Sequence[str | Peripheral] = (),
        trace: str | os.PathLike[str] = "",
        trace_format: str = "jsonl",
        strace: bool = False,
        assist: bool = True,
        services: bool = False,
    ) -> None:
        """Make a machine that will boot ``image``.

        Args:
            image: path of a program or image, the name of a bundled program, or a program on PATH.
            args: the program's arguments.
            arch: ``x86_64`` or ``arm64``; by default the image's own.
            backend: ``kvm``, ``unicorn``, or ``auto`` for the better one here.
            memory: RAM, in bytes or as ``"64M"``.
            cpus: number of vCPUs.
            cmdline: the kernel's command line.
            initrd: a cpio archive for the root file system.
            env: the program's environment.
            stdin: all of the program's input; by default it comes from ``console.send``.
            board: what the board shall be like, for example ``gic=2``; by default as the image
                expects it.
            disks: virtio disks: ``FILE[,ro][,worker][,serial=TEXT]``.
            nets: virtio network interfaces: ``user`` or ``tap=NAME[,mac=MAC]``.
            root: the directory that is the root file system: ``DIR[:rw]``; ``image`` is then a
                program in it.
            shares: directories for the guest to mount by 9P: ``DIR:TAG[:rw]``.
            vsocks: UNIX sockets for connections with the guest: ``CID=PATH``.
            ports: named ports of the virtio console: ``NAME=PATH`` for a UNIX socket,
                ``NAME=file:PATH``, or ``NAME=fd:N``.
            devices: further devices: ``"rng"``, ``"console"`` or ``"balloon"`` for the virtio
                ones; your own as ``"MODULE:CLASS,OPTION=VALUE"`` or as objects (`Peripheral`).
            trace: file for a trace of all device accesses: ``FILE[,FILTER]``, see `vmm.trace`;
                the filter ``replay`` adds what virtio devices need to be replayed.
            trace_format: ``jsonl``, or ``perfetto`` for Chrome's trace events.
            strace: whether the program's system calls are written to ``console.log``.
            assist: execute on the Unicorn engine what KVM refuses to.
            services: whether `guest` makes system calls beside the program.

        Raises:
            UsageError: if this cannot be; one line says why.
            TypeError: if an argument is of another type than this.
        """
        from vmm.machine import arguments

        arguments.check_input(stdin)
        config = MachineConfig(
            image=arguments.check_path("image", image),
            arguments=arguments.check_texts("args", args),
            arch=_parse_arch(arch),
            backend=backend,
            memory=arguments.check_size("memory", memory),
            cpus=arguments.check_number("cpus", cpus),
            command_line=arguments.check_text("cmdline", cmdline),
            initrd=None if initrd is None else arguments.check_path("initrd", initrd),
            environment=arguments.check_environment(env or {}),
            board=arguments.check_text("board", board),
            disks=arguments.check_texts("disks", disks),
            nets=arguments.check_texts("nets", nets),
            root=arguments.check_path("root", root),
            shares=arguments.check_texts("shares", shares),
            vsocks=arguments.check_texts("vsocks", vsocks),
            ports=arguments.check_texts("ports", ports),
            devices=arguments.check_devices(devices),
            trace=arguments.check_path("trace", trace),
            trace_format=arguments.check_text("trace_format", trace_format),
            strace=strace,
            assist=assist,
            services=services,
        )
        self._build(config.check())
        if stdin is not None:
            self.console.send(stdin)
            self.console.close_input()

    @classmethod
    def service(
        cls,
        *,
        arch: str | None = None,
        backend: str = "auto",
        memory: int | str = "64M",
        cmdline: str = "",
        initrd: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a machine without a program: what runs in it are the system calls of `guest`.

        Args:
            arch: ``x86_64`` or ``arm64``; by default the host's.
            backend: as of the constructor, and so all the others.
            memory: RAM; an eighth of it, at most 4 MiB, is for what calls transfer.
            cmdline: the kernel's command line.
            initrd: a cpio archive for the root file system.

        Raises:
            UsageError: if this cannot be; one line says why.
        """
        chosen = _parse_arch(arch) or host_arch()
        if chosen is None:
            raise UsageError("say which architecture the machine shall have")
        return cls(
            kernel_path(chosen),
            arch=chosen,
            backend=backend,
            memory=memory,
            cmdline=cmdline,
            initrd=initrd,
            services=True,
        )

    @classmethod
    def from_config(cls, config: MachineConfig) -> Self:
        """Make a machine from a checked configuration."""
        machine = cls.__new__(cls)
        machine._build(config)
        return machine

    def _build(self, config: MachineConfig) -> None:
        super().__init__()
        self.config = config
        self.recorder: Recorder | None = None
        self._attachments: Attachments | None = None
        self._guest: Guest | None = None
        try:
            name, image = _open(config)
            with image:
                vm = self._make_hardware(image)
                self._attach(image, vm)
                self._load(name, image, vm)
        except BaseException:
            self.close()
            raise

    def _make_hardware(self, image: Image) -> VirtualMachine:
        """Make everything that a machine for ``image`` always has, with nothing in its RAM."""
        config = self.config
        self.arch = _agree(config, image.arch)
        hypervisor, self.backend_reason = open_backend(config.backend, self.arch)
        self._resources.append(hypervisor)
        self.backend = hypervisor.name
        self.bus = self._open_trace() if config.trace else Bus()
        self.console = Console()
        self.console.on_input = self._on_input
        self.console.on_wait = self.attend
        self.clock = MachineClock(self.bus.lock)
        self._resources.append(self.clock)
        if self.recorder is not None:
            self.recorder.follow(self.clock)
        options = self._board_options(image)
        board_type = board_for(self.arch, options)
        self.title = f"{image.kind}, {image.protocol} protocol, {_board_name(self.arch, options)}"
        self.memory = GuestMemory(board_type.ram_ranges(config.memory, options))
        self._resources.append(self.memory)
        vm = hypervisor.create_vm(self.arch, self.memory, self.clock)
        self._resources.append(vm)
        self.board = board_type(vm, self.bus, self.memory, self.clock, self.console, self, options)
        self._make_vcpus(vm)
        return vm

    def _board_options(self, image: Image) -> BoardOptions | None:
        if not self.config.board:
            return image.board
        from vmm.boards.options import choose

        return choose(self.config.board, image.board, self.arch)

    def _make_vcpus(self, vm: VirtualMachine) -> None:
        self.vcpus = []
        for index in range(self.config.cpus):
            recorder = self.recorder
            handler = self.bus if recorder is None else recorder.accesses_of(index)
            self.vcpus.append(vm.create_vcpu(index, handler))
            self._resources.append(self.vcpus[index])
        self.vcpu = self.vcpus[0]
        self.board.connect(self.vcpus)
        if self.config.cpus > 1:
            from vmm.machine.processors import Processors

            self._processors = Processors(self.vcpus[1:], self._run_secondary)

    def _attach(self, image: Image, vm: VirtualMachine) -> None:
        """Attach what was asked for, in the way that ``image`` takes devices."""
        if image.kind == HERMIT:
            self._attach_hermit()
        if image.kind == SOLO5_HVT:
            self._attach_solo5(image)
        elif self.config.attached:
            self._attach_devices(vm)

    def _load(self, name: str, image: Image, vm: VirtualMachine) -> None:
        """Put ``image`` into RAM and the first vCPU to its start."""
        self.loaded = load_image(self.config, name, image, self.board, self.memory)
        if self.loaded.foreign and vm.local_apic and self.config.cpus == 1:
            from vmm.machine.halt_watch import HaltWatch

            self._watch = HaltWatch(self.vcpu, self.memory, self.clock)
        if self.loaded.ring is not None:
            self._caller = self._make_caller(self.loaded.ring)
        self.vcpu.set_registers(self.loaded.registers)
        if self.recorder is not None:
            self.recorder.begin(self)

    def _open_trace(self) -> Bus:
        from vmm.trace.recorder import Recorder

        self.recorder = Recorder(self.config.trace, self.config.trace_format)
        self._resources.append(self.recorder)
        return self.recorder.bus

    def _make_caller(self, place: Place) -> Caller:
        from vmm.hypercall.ring import Ring
        from vmm.machine.caller import Caller

        return Caller(self, Ring(self.memory, place.physical, place.end - place.physical))

    def _attach_devices(self, vm: VirtualMachine) -> None:
        from vmm.machine.attachments import Attachments

        # A trace has every kick, so these must reach the bus then.
        notifier = vm if vm.ioeventfds and self.recorder is None else None
        self._attachments = Attachments(
            self.board, self.memory, self.bus.lock, notifier, self.recorder
        )
        self._resources.append(self._attachments)
        self._attachments.attach(self.config)
        events = self._attachments.events
        if events is not None and self.config.cpus == 1 and self.vcpu.sleep_by(events):
            events.share()
            self._events = events

    def _attach_solo5(self, image: Image) -> None:
        from vmm.boards.solo5 import Solo5Board
        from vmm.images.solo5 import Solo5Unikernel
        from vmm.machine.solo5_devices import Solo5Devices

        assert isinstance(self.board, Solo5Board)
        assert isinstance(image, Solo5Unikernel)
        devices = Solo5Devices()
        self._resources.append(devices)
        devices.attach(self.config, image.devices, self.board.calls)

    def _attach_hermit(self) -> None:
        from vmm.hypercall.hermit import HermitCalls

        config = self.config
        arguments = (config.image, *config.arguments)
        environment = [f"{name}={content}" for name, content in config.environment]
        HermitCalls(self.memory, self.console, self, arguments, environment).attach(self.bus)

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address of a virtual one of vCPU 0; from its thread."""
        return self.vcpu.translate(address)

    # ---- What it is asked for ----

    @property
    def guest(self) -> Guest:
        """The guest's kernel, to be called from here: ``m.guest.pipe2(os.O_DIRECT)``.

        The guest runs while a call is waited for; to let it run in between too, `start` it.

        Raises:
            UsageError: if the machine was not made for service calls.
        """
        if self._caller is None:
            raise UsageError(
                "this machine takes no service calls: make it by Machine.service(), or with"
                " services=True"
            )
        if self._guest is None:
            from vmm.service.guest import Guest

            self._guest = Guest(self._caller, self.arch)
        return self._guest

    def attach_input(self, fd: int) -> None:
        """Let the guest's input come from ``fd``, read only as far as the guest asks for it."""
        self.console.attach_input(fd)
        self.board.on_input_attached()

    def set_balloon(self, size: int) -> None:
        """Ask the guest to do without ``size`` bytes of its RAM, which go back to the host.

        Raises:
            UsageError: if the machine has no device ``balloon``.
        """
        balloon = None if self._attachments is None else self._attachments.balloon
        if balloon is None:
            raise UsageError("the machine has no balloon: make it with devices=['balloon']")
        with self.bus.lock:
            balloon.set_target(size)

    @property
    def complaints(self) -> list[str]:
        """What the host could not do for devices since the guest began, a line each."""
        return [] if self._attachments is None else self._attachments.complaints()

    @property
    def has_console(self) -> bool:
        """Tell whether there is a virtio console, which has a size."""
        return self._attachments is not None and self._attachments.console is not None

    def set_console_size(self, columns: int, rows: int) -> None:
        """Tell the guest the size of the virtio console in characters, 0 to 65535 of either.

        Raises:
            UsageError: if the machine has no device ``console``.
        """
        console = None if self._attachments is None else self._attachments.console
        if console is None:
            raise UsageError("the machine has no console: make it with devices=['console']")
        with self.bus.lock:
            console.resize(columns, rows)

    def new_generation(self) -> None:
        """Let the guest draw other random numbers than all machines with the same past.

        Whoever restores RAM from a snapshot, or copies it from another machine, calls this before
        the guest goes on: else it would give out once more what has been given out already, keys
        and identifiers among them. It holds from the next request for random numbers on.

        Raises:
            UsageError: if the guest is not Calypso's kernel, which alone looks for it.
        """
        if not self.loaded.generation:
            raise UsageError(f"{self.config.image}: only Calypso's own kernel has generations")
        from vmm.hypercall.generation import renew

        renew(self.memory, self.loaded.generation)

    def close(self) -> None:
        """Stop the machine if it runs, and give back everything it holds."""
        if not self._halt():
            return
        for resource in reversed(self._resources):
            resource.close()
        with self._state:
            wake_fd, self._wake_fd = self._wake_fd, -1
        if wake_fd >= 0:
            os.close(wake_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- What it is like ----

    def registers(self) -> dict[str, RegisterValue]:
        """Return the registers of vCPU 0; only while the machine does not run.

        Raises:
            VmmError: if the machine is closed.
        """
        if self._closed:
            raise VmmError("the machine is closed")
        return self.vcpu.registers()

    @property
    def screen(self) -> str:
        """What a guest for PCs has written to its text screen.

        Raises:
            VmmError: if the machine is no PC.
        """
        if self.arch != X86_64:
            raise VmmError("only machines of x86_64 have a text screen")
        from vmm.machine.screen import read_screen

        return read_screen(self.memory)

    def crash_report(self) -> str:
        """Tell what state a stopped machine is in: why, registers, symbols, last accesses."""
        from vmm.machine.report import crash_report

        return crash_report(self)


def _board_name(arch: Arch, options: BoardOptions | None) -> str:
    return f"{arch} board" if options is None else f"{arch} board ({options})"


def _parse_arch(name: str | None) -> Arch | None:
    if name is None:
        return None
    arch = parse_arch(name)
    if arch is None:
        raise UsageError(f"architecture {name!r} is not one of {', '.join(ARCHITECTURES)}")
    return arch


def _open(config: MachineConfig) -> tuple[str, Image]:
    """Return what the image is called in its machine, and the image."""
    if config.initrd is not None and config.image.startswith("/"):
        from vmm.images.archived import open_archived

        file = open_archived(config.initrd, config.image)
        if file is not None:
            return config.image, recognise(file)
    if config.root:
        from vmm.images.rooted import find_in_root
        from vmm.machine.device_options import parse_root

        name, path = find_in_root(parse_root(config.root).directory, config.image)
        return name, open_image(path)
    return config.image, open_image(find_image(config.image, config.arch))


def _agree(config: MachineConfig, image_arch: Arch | None) -> Arch:
    """Return the one architecture that the configuration and the image agree on."""
    if config.arch is not None and image_arch is not None and config.arch != image_arch:
        raise UsageError(f"{config.image} is for {image_arch}, not for {config.arch}")
    arch = image_arch or config.arch or host_arch()
    if arch is None:
        raise UsageError(f"say which architecture {config.image} is for")
    return arch
