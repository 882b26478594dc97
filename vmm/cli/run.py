"""`vmm run`: boot an image, connect its console to this process, pass on its exit status."""

from __future__ import annotations

import gc
import os
from errno import EMFILE

from vmm.cli import flush
from vmm.cli.options import MAX_SECONDS
from vmm.errors import GuestTimeout, UsageError, VmmError
from vmm.host.threads import start_thread
from vmm.machine import outcome
from vmm.machine.config import DEFAULT_MEMORY, MachineConfig, parse_size
from vmm.machine.machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from signal import SIG_DFL, SIGHUP, SIGQUIT, SIGTERM, getsignal, signal
    from typing import Final

    from vmm.arch import Arch
    from vmm.backends.assist.assistant import Assistant
else:
    # Without the enumerations that the module signal builds.
    from _signal import SIG_DFL, SIGHUP, SIGQUIT, SIGTERM, getsignal, signal

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2

# Options that ask for something before the start.
_REPORTS: Final = frozenset(("dry_run", "verbose", "dump_dtb", "dump_bootinfo"))


def run(options: Mapping[str, object], image: str, arguments: Sequence[str]) -> int:
    """Run ``image`` and return the exit status of `vmm run`.

    ``options`` holds those that were given, by name, in Python's spelling (see `vmm.cli.options`).

    Raises:
        UsageError: if what was asked for cannot be.
    """
    config = _configure(options, image, arguments)
    timeout = options.get("timeout")
    assert timeout is None or isinstance(timeout, float)
    if timeout is not None and not 0 < timeout < MAX_SECONDS:
        raise UsageError(
            f"--timeout {timeout:g}: not a number of seconds between 0 and {MAX_SECONDS:g}"
        )
    with Machine.from_config(config) as machine:
        # What start-up made lives as long as the process: no collection needs to look at it.
        gc.freeze()
        gc.enable()
        if not options.get("quiet"):
            say(f"{machine.title}, {machine.backend} backend: {machine.backend_reason}")
        if _REPORTS & options.keys() and not _show(machine, options):
            return 0
        machine.console.attach_output(_STDOUT, _STDERR)
        _end_by_signals(machine)
        if _is_terminal():
            from vmm.cli.terminal import terminal_input

            with terminal_input(machine):
                status = _run(machine, timeout)
        else:
            machine.attach_input(_STDIN)
            status = _run(machine, timeout)
        if machine.assistants and not options.get("quiet"):
            say(_assistance(machine.assistants.values()))
        _report(machine, timeout)
        for complaint in machine.complaints:
            say(complaint)
    if machine.recorder is not None and machine.recorder.failure:
        say(machine.recorder.failure)
    return status


def _end_by_signals(machine: Machine) -> None:
    """Let the signals that ask for an end stop the machine, so that nothing is left behind."""

    def end(number: int, _frame: object) -> None:
        # In a thread: the handler may have come just before the vCPU enters the guest.
        start_thread(machine.stop, 128 + number)

    for number in (SIGHUP, SIGQUIT, SIGTERM):
        # Whoever began us with one ignored, as nohup does, wants it ignored.
        if getsignal(number) == SIG_DFL:
            signal(number, end)


def _show(machine: Machine, options: Mapping[str, object]) -> bool:
    """Give what was asked for before the start; tell whether to start."""
    from vmm.machine.plan import describe_plan, read_boot_information, read_device_tree

    for option, read in (("dump_dtb", read_device_tree), ("dump_bootinfo", read_boot_information)):
        path = options.get(option)
        if path is not None:
            content = read(machine)
            try:
                with open(str(path), "wb") as file:
                    file.write(content)
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}") from None
    if options.get("dry_run"):
        plan = "".join(f"{line}\n" for line in describe_plan(machine))
        try:
            os.write(_STDOUT, plan.encode())
        except OSError as error:
            raise VmmError(f"output: {error.strerror}") from None
        return False
    if options.get("verbose"):
        for line in describe_plan(machine):
            say(line)
    return True


def say(text: str) -> None:
    """Write one line to standard error."""
    try:
        os.write(_STDERR, f"vmm: {text}\n".encode(errors="replace"))
    except OSError:
        pass  # nobody reads it


def _configure(
    options: Mapping[str, object], image: str, arguments: Sequence[str]
) -> MachineConfig:
    get = options.get
    environment = []
    variables = get("env") or ()
    assert isinstance(variables, (list, tuple))
    for variable in variables:
        name, equals, content = variable.partition("=")
        if not equals:
            raise UsageError(f"--env {variable}: write NAME=CONTENT")
        environment.append((name, content))
    size = get("memory")
    return MachineConfig(
        image=image,
        arguments=tuple(arguments),
        arch=_arch(get("arch")),
        backend=str(get("backend") or "auto"),
        memory=DEFAULT_MEMORY if size is None else parse_size(str(size)),
        cpus=int(str(get("cpus", 1))),
        command_line=str(get("cmdline") or ""),
        initrd=None if get("initrd") is None else str(get("initrd")),
        environment=tuple(environment),
        board=str(get("board") or ""),
        disks=_texts(get("disk")),
        nets=_texts(get("net")),
        root=str(get("root") or ""),
        shares=_texts(get("share")),
        vsocks=_texts(get("vsock")),
        ports=_texts(get("port")),
        devices=_texts(get("device")),
        trace=str(get("trace") or ""),
        trace_format=str(get("trace_format") or "jsonl"),
        strace=bool(get("strace")),
        assist=not get("no_assist"),
    ).check()


def _texts(given: object) -> tuple[str, ...]:
    assert given is None or isinstance(given, (list, tuple))
    return tuple(given or ())


def _arch(name: object) -> Arch | None:
    from vmm.arch import parse_arch

    return None if name is None else parse_arch(str(name))


def _is_terminal() -> bool:
    try:
        return os.isatty(_STDIN)
    except OSError:
        return False


def _run(machine: Machine, timeout: float | None) -> int:
    try:
        return machine.run(timeout)
    except GuestTimeout:
        return outcome.STATUS_TIMEOUT
    except KeyboardInterrupt:
        return outcome.STATUS_INTERRUPTED


def _assistance(assistants: Iterable[Assistant]) -> str:
    refused = sum([assistant.refused for assistant in assistants])
    executed = sum([assistant.executed for assistant in assistants])
    return (
        f"emulation assist: KVM refused {refused} instructions;"
        f" the Unicorn engine executed {executed} in all"
    )


def _report(machine: Machine, timeout: float | None) -> None:
    """Say on standard error what went wrong with the guest, if anything did."""
    end = machine.outcome
    if end is None:
        return
    if end.kind == outcome.REFUSED:
        say(end.message)
    if not end.failed:
        return
    if end.kind == outcome.TIMED_OUT:
        say(f"the guest was stopped after {timeout:g} s")
    for line in machine.crash_report().splitlines():
        say(line)


def main(options: Mapping[str, object], image: str, arguments: Sequence[str]) -> int:
    """Run ``image`` as `run` does, with errors as one line each."""
    try:
        return run(options, image, arguments)
    except KeyboardInterrupt:
        return outcome.STATUS_INTERRUPTED
    except Exception as error:
        return _fail(error)
    finally:
        flush()


def _fail(error: Exception) -> int:
    """Say why there is no result, and return the exit status for it."""
    if _lacks_descriptors(error):
        say("too many open files: raise this process's limit (ulimit -n)")
        return outcome.STATUS_VMM_FAILURE
    if isinstance(error, VmmError):
        say(str(error))
        usage = isinstance(error, UsageError)
        return outcome.STATUS_USAGE if usage else outcome.STATUS_VMM_FAILURE
    # A device of a user's making, or a fault of ours: either way it has to be found.
    from traceback import print_exception

    print_exception(error)
    return outcome.STATUS_VMM_FAILURE


def _lacks_descriptors(error: BaseException) -> bool:
    """Tell whether ``error`` began with this process's limit on open files."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == EMFILE:
            return True
        # The dynamic linker's error has no number.
        if isinstance(cause, ImportError) and os.strerror(EMFILE) in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
