"""Boots the lab for one command and returns its exit status."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.debian import cache_directory
from scripts.lab.images import Emulator, Image

# The exit status for a lab that hung or crashed before the command ended.
NOTHING_CAME_BACK = 125

# The machine with KVM in it: SVM on x86_64, EL2 on arm64.
_MACHINES = {
    "amd64": ["-M", "q35,hpet=off", "-cpu", "max,+svm,la57=off"],
    "arm64": ["-M", "virt,virtualization=on,gic-version={gic}", "-cpu", "neoverse-n1"],
}

_KERNEL_OPTIONS = (
    "quiet loglevel=4 panic=-1 mitigations=off nokaslr random.trust_cpu=on rcupdate.rcu_expedited=1"
)
# Emulation is too uneven for the kernel to trust the time-stamp counter and the timer by itself.
_KERNEL_OPTIONS_OF = {
    "amd64": "console=ttyS0 tsc=reliable no_timer_check",
    "arm64": "console=ttyAMA0",
}


@dataclass(frozen=True)
class Settings:
    """How the lab is run.

    Attributes:
        share: the host's directory that is /host, the command's working directory.
        cpus: virtual processors.
        memory: in MiB.
        timeout: seconds after which the lab is killed.
        log: where the kernel's messages go, if anywhere.
        gic: version of the arm64 machine's interrupt controller, which is that of its guests.
        one_insn_per_tb: translate each instruction by itself. Slow; but else, in a guest of the
            lab's KVM, a jump that an instruction just before it has changed goes where it went.
    """

    share: Path
    cpus: int = 2
    memory: int = 2048
    timeout: float = 600
    log: Path | None = None
    gic: int = 3
    one_insn_per_tb: bool = False


def run(
    architecture: str,
    image: Image,
    emulator: Emulator,
    command: Sequence[str],
    settings: Settings,
) -> int:
    """Run ``command`` in the lab with its output on ours; return its exit status."""
    with tempfile.TemporaryDirectory(prefix="kvm-lab.") as scratch:
        control = Path(scratch, "control")
        control.mkdir()
        (control / "command").write_text(shlex.join(command) + "\n")
        console = Path(scratch, "console")
        qemu = [
            *emulator.command(architecture),
            *(word.format(gic=settings.gic) for word in _MACHINES[architecture]),
            *_arguments(architecture, image, control, console, settings),
        ]
        ending = _execute(qemu, settings.timeout)
        _save_log(settings.log, console, control / "log")
        status = control / "status"
        if status.exists():
            return int(status.read_text())
        print(f"kvm-lab: no exit status came back: {ending}; the console's end:", file=sys.stderr)
        print(console.read_text(errors="replace")[-4000:], file=sys.stderr)
        return NOTHING_CAME_BACK


def _arguments(
    architecture: str, image: Image, control: Path, console: Path, settings: Settings
) -> list[str]:
    shares = {
        "control": f"{control}",
        "host": f"{settings.share}",
        "cache": f"{cache_directory()},readonly=on",
    }
    one_insn = "on" if settings.one_insn_per_tb else "off"
    arguments = [
        *("-display", "none", "-nodefaults", "-no-reboot"),
        *("-accel", f"tcg,thread=multi,one-insn-per-tb={one_insn}"),
        *("-smp", str(settings.cpus), "-m", str(settings.memory)),
        *("-kernel", str(image.kernel), "-initrd", str(image.ramdisk)),
        *("-append", f"{_KERNEL_OPTIONS} {_KERNEL_OPTIONS_OF[architecture]}"),
        *("-drive", f"file={image.root},format=raw,if=none,id=root,snapshot=on"),
        *("-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"),
        *("-serial", f"file:{console}"),
        # The command's output: a port of its own, so that kernel messages do not mix in.
        *("-chardev", "file,id=output,path=/dev/fdset/7,append=on"),
        *("-device", "virtio-serial-pci,max_ports=2"),
        *("-device", "virtserialport,chardev=output,nr=1"),
    ]
    for tag, path in shares.items():
        arguments += ["-fsdev", f"local,id={tag},path={path},security_model=none"]
        arguments += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return arguments


def _execute(qemu: list[str], timeout: float) -> str:
    """Run QEMU with our standard output as file descriptor set 7; return how it ended."""
    sys.stdout.flush()
    output = os.dup(sys.stdout.fileno())
    try:
        result = subprocess.run(
            [*qemu, "-add-fd", f"fd={output},set=7"],
            stdin=subprocess.DEVNULL,
            pass_fds=(output,),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"killed after {timeout:g} s"
    finally:
        os.close(output)
    return f"QEMU ended with status {result.returncode}"


def _save_log(log: Path | None, *sources: Path) -> None:
    if log is not None:
        log.write_bytes(b"".join(path.read_bytes() for path in sources if path.exists()))
