"""The options of `vmm run`, declared once.

A well-formed command line is parsed here, with nothing to import. Everything else (help, errors,
completion) goes to click, which builds its parameters from the same table.
"""

from __future__ import annotations

from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

FLAG: Final = "flag"
TEXT: Final = "text"
FILE: Final = "file"
SIZE: Final = "size"
NUMBER: Final = "number"
SECONDS: Final = "seconds"

# What a timeout stays below, in seconds: thirty years.
MAX_SECONDS: Final = 1e9

_MAX_DIGITS: Final = 9  # of a number


@value
class Option:
    """One option of a verb.

    Attributes:
        name: with its dashes.
        kind: what its argument is, one of this module's words.
        metavar: how help shows the argument.
        help: one line.
        choices: the arguments allowed, where there are few.
        repeated: may be given several times.
    """

    name: str
    kind: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    repeated: bool = False


RUN_OPTIONS: Final = (
    Option(
        "--backend",
        TEXT,
        "B",
        "What executes the guest: kvm, unicorn, or auto for the better one here.",
        choices=("auto", "kvm", "unicorn"),
    ),
    Option(
        "--arch",
        TEXT,
        "ARCH",
        "Architecture of a bundled program (a file says its own).",
        choices=("x86_64", "arm64"),
    ),
    Option("--memory", SIZE, "SIZE", "RAM of the machine, for example 64M or 2G [64M]."),
    Option("--cpus", NUMBER, "N", "Number of virtual processors [1]."),
    Option("--cmdline", TEXT, "TEXT", "Command line of the guest's kernel."),
    Option(
        "--initrd",
        FILE,
        "FILE",
        "Cpio archive (newc) that becomes the root file system; IMAGE can be a program in it.",
    ),
    Option("--env", TEXT, "K=V", "Environment variable of the program.", repeated=True),
    Option(
        "--board",
        TEXT,
        "WORDS",
        "What the board shall be like, if not as the image expects it: gic=2, gic=3, virt,"
        " firecracker (arm64); devices=ADDRESS moves devices up by that; packed lets virtio devices"
        " offer packed virtqueues; comma-separated.",
    ),
    Option(
        "--disk",
        TEXT,
        "FILE[,ro][,worker][,serial=S]",
        "Virtio disk with the content of a raw file or block device; worker: on KVM, a thread"
        " serves it while the guest goes on.",
        repeated=True,
    ),
    Option(
        "--net",
        TEXT,
        "user|tap=NAME[,...]",
        "Virtio network interface. user: through the host's sockets, by passt; tcp=PORT:PORT and"
        " udp=PORT:PORT lead from a port of the host to one of the guest. tap=NAME: at a TAP"
        " interface; address=IP/LENGTH and bridge=NAME configure it. mac=M sets the MAC address.",
        repeated=True,
    ),
    Option(
        "--root",
        TEXT,
        "DIR[:rw]",
        "Directory that is the guest's root file system, read-only without rw; IMAGE is a program"
        " in it.",
    ),
    Option(
        "--share",
        TEXT,
        "DIR:TAG[:rw]",
        "Directory that the guest can mount as TAG by 9P, and programs have at /mnt/TAG; read-only"
        " without rw.",
        repeated=True,
    ),
    Option(
        "--vsock",
        TEXT,
        "CID=PATH",
        "Virtio sockets: the guest is CID; its connections to port P of the host go to PATH_P.",
        repeated=True,
    ),
    Option(
        "--port",
        TEXT,
        "NAME=PATH",
        "Port of the virtio console, /dev/virtio-ports/NAME to the guest, at a UNIX socket that the"
        " VMM makes at PATH; file:PATH appends to a file, fd:N is a descriptor.",
        repeated=True,
    ),
    Option(
        "--device",
        TEXT,
        "NAME",
        "Virtio device rng, console or balloon; or your own as MODULE:CLASS,OPTION=VALUE.",
        repeated=True,
    ),
    Option("--strace", FLAG, "", "Print the program's system calls on standard error."),
    Option(
        "--no-assist",
        FLAG,
        "",
        "End the run where KVM cannot execute an instruction, instead of having it executed by the"
        " Unicorn engine.",
    ),
    Option(
        "--trace",
        TEXT,
        "FILE[,FILTER]",
        "Write every device access and event to FILE; FILTER is patterns like 'virtio*' or"
        " 'pl011.CR', kind=K, and replay for what 'vmm trace --replay' needs (RAM and the host's"
        " answers), comma-separated.",
    ),
    Option(
        "--trace-format",
        TEXT,
        "F",
        "jsonl, or perfetto for a file that ui.perfetto.dev opens [jsonl].",
        choices=("jsonl", "perfetto"),
    ),
    Option("--timeout", SECONDS, "S", "Stop the guest after S seconds, with exit status 124."),
    Option("--quiet", FLAG, "", "Do not say what is booted how, by which backend."),
    Option("--verbose", FLAG, "", "Say also what is where in the machine at its start."),
    Option("--dry-run", FLAG, "", "Print what is where in the machine, and do not start it."),
    Option("--dump-dtb", FILE, "FILE", "Write the guest's device tree to FILE."),
    Option("--dump-bootinfo", FILE, "FILE", "Write what its boot protocol tells it to FILE."),
)

SHORT_NAMES: Final = {"-q": "--quiet", "-v": "--verbose"}

_BY_NAME: Final = {option.name: option for option in RUN_OPTIONS}


@value
class RunCommand:
    """A parsed `vmm run`: the options given by name, and what follows them."""

    options: dict[str, object]
    image: str
    arguments: tuple[str, ...]


def parse_run(words: Sequence[str]) -> RunCommand | None:
    """Parse what follows ``vmm run``; None if click should look at it (help, or an error)."""
    options: dict[str, object] = {}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-") or word == "-":
            return RunCommand(options, word, tuple(words[position:]))
        if word == "--":
            if position == len(words):
                return None
            return RunCommand(options, words[position], tuple(words[position + 1 :]))
        name, equals, content = word.partition("=")
        name = SHORT_NAMES.get(name, name)
        option = _BY_NAME.get(name)
        if option is None:
            return None
        if option.kind == FLAG:
            if equals:
                return None
            options[name[2:].replace("-", "_")] = True
            continue
        if not equals:
            if position == len(words) or words[position].startswith("-"):
                return None
            content = words[position]
            position += 1
        parsed = _parse(option, content)
        if parsed is None:
            return None
        if option.repeated:
            earlier = options.setdefault(name[2:].replace("-", "_"), [])
            assert isinstance(earlier, list)
            earlier.append(parsed)
        else:
            options[name[2:].replace("-", "_")] = parsed
    return None


def _parse(option: Option, content: str) -> object:
    """Return the option's argument in its type, or None if it is not of that type."""
    if option.choices and content not in option.choices:
        return None
    if option.kind == NUMBER:
        digits = content.isascii() and content.isdigit() and len(content) <= _MAX_DIGITS
        return int(content) if digits else None
    if option.kind == SECONDS:
        try:
            seconds = float(content)
        except ValueError:
            return None
        return seconds if 0 < seconds < MAX_SECONDS else None
    return content
