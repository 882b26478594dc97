r"""The pytest plugin: machines as fixtures, on every architecture and backend.

    def test_a_pipe(guest):
        r, w = guest.pipe()
        guest.write(w, b"abc")
        assert guest.read(r, 100) == b"abc"

    def test_a_program(vmm_machine):
        machine = vmm_machine("busybox", ["echo", "hi"])
        assert machine.run(timeout=10) == 0
        assert machine.console.output == b"hi\n"

Fixtures:

* `guest`: the kernel of a new machine without a program, to be called (`vmm.service.guest`);
* `vmm_machine`: makes machines, with the arguments of `vmm.Machine`;
  ``vmm_machine.service()`` makes one without a program;
* `vmm_target`: what the test runs on: ``.arch`` and ``.backend``.

A test that uses one of them runs once per target: ``--vmm-arch``, ``--vmm-backend`` choose which.
Where KVM cannot be had such a test is skipped and says why, or with ``--vmm-require-kvm`` fails.
The consoles and the states of its machines are added to the report of a failing test.

Nothing of the VMM is imported before a test needs it.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any, Final

    from vmm.arch import Arch
    from vmm.machine.machine import Machine
    from vmm.service.guest import Guest

ARCHITECTURES: Final = ("x86_64", "arm64")
BACKENDS: Final = ("unicorn", "kvm")
ALL: Final = "all"

# How long a call of `guest` may take, in seconds: it ends what would hang.
DEFAULT_TIMEOUT: Final = 60.0
# How long a machine that runs beside the test may take to stop for its report.
_STOP_TIMEOUT: Final = 10.0

_MACHINES: Final = pytest.StashKey["list[Machine]"]()


class Target:
    """What a test runs on.

    Attributes:
        arch: ``x86_64`` or ``arm64``.
        backend: ``unicorn`` or ``kvm``.
    """

    def __init__(self, arch: Arch, backend: str) -> None:
        self.arch = arch
        self.backend = backend

    def __repr__(self) -> str:
        return f"{self.arch}-{self.backend}"


class MachineFactory:
    """Makes machines for one test, which are closed when it has ended."""

    def __init__(self, target: Target, made: list[Machine]) -> None:
        self._target = target
        self._made = made

    def __call__(self, image: str, args: Any = (), **options: Any) -> Machine:
        """Make a machine; arguments are those of `vmm.Machine`."""
        from vmm import Machine

        return self._keep(Machine(image, args, **self._defaults(options)))

    def service(self, **options: Any) -> Machine:
        """Make a machine without a program; arguments are those of `vmm.Machine.service`."""
        from vmm import Machine

        return self._keep(Machine.service(**self._defaults(options)))

    def _defaults(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"arch": self._target.arch, "backend": self._target.backend, **options}

    def _keep(self, machine: Machine) -> Machine:
        self._made.append(machine)
        return machine


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this plugin."""
    group = parser.getgroup("vmm", "virtual machines")
    group.addoption(
        "--vmm-backend",
        choices=(*BACKENDS, ALL),
        default=ALL,
        help="run tests that use machines on this backend only",
    )
    group.addoption(
        "--vmm-arch",
        choices=(*ARCHITECTURES, ALL),
        default=ALL,
        help="run tests that use machines on this architecture only",
    )
    group.addoption(
        "--vmm-require-kvm",
        action="store_true",
        help="let tests on KVM fail, not be skipped, where this host cannot run them",
    )
    group.addoption(
        "--vmm-timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help=f"how long one call of the fixture 'guest' may take (default: {DEFAULT_TIMEOUT:g})",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses a machine once per target."""
    if "vmm_target" in metafunc.fixturenames:
        targets = _targets(metafunc.config)
        metafunc.parametrize("vmm_target", targets, ids=repr, indirect=True)


def _targets(config: pytest.Config) -> list[Target]:
    """Return the chosen targets. KVM has only the host's architecture, unless that is chosen."""
    arch, backend = config.getoption("vmm_arch"), config.getoption("vmm_backend")
    archs: tuple[Arch, ...] = ARCHITECTURES if arch == ALL else (arch,)
    backends = BACKENDS if backend == ALL else (backend,)
    chosen = [Target(arch, backend) for arch in archs for backend in backends]
    if arch != ALL and backend != ALL:
        return chosen
    from vmm.arch import host_arch

    return [
        target for target in chosen if target.backend != "kvm" or target.arch == host_arch()
    ] or chosen


@pytest.fixture
def vmm_target(request: pytest.FixtureRequest) -> Target:
    """What the test runs on."""
    target: Target = request.param
    problem = _missing(target)
    if problem is None:
        return target
    if target.backend == "kvm" and request.config.getoption("vmm_require_kvm"):
        pytest.fail(problem, pytrace=False)
    pytest.skip(problem)


def _missing(target: Target) -> str | None:
    """Say what this host lacks for the target, or return None."""
    from vmm.backends.select import open_backend
    from vmm.errors import BackendUnavailable

    try:
        hypervisor, _ = open_backend(target.backend, target.arch)
    except BackendUnavailable as error:
        return str(error)
    hypervisor.close()
    return None


@pytest.fixture
def vmm_machine(request: pytest.FixtureRequest, vmm_target: Target) -> Iterator[MachineFactory]:
    """Makes machines of the test's architecture and backend: ``vmm_machine("hello")``."""
    made = request.node.stash.setdefault(_MACHINES, [])
    yield MachineFactory(vmm_target, made)
    for machine in made:
        machine.close()


@pytest.fixture
def guest(request: pytest.FixtureRequest, vmm_machine: MachineFactory) -> Guest:
    """The kernel of a new machine without a program, to be called from the test."""
    kernel = vmm_machine.service().guest
    kernel.timeout = request.config.getoption("vmm_timeout")
    return kernel


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Add what is known of its machines to the report of a test that failed."""
    report: pytest.TestReport = (yield).get_result()
    if report.failed and report.when != "teardown":
        for machine in item.stash.get(_MACHINES, []):
            report.sections += _sections(machine)


def _sections(machine: Machine) -> list[tuple[str, str]]:
    if machine.running:
        machine.stop()
        machine.wait(_STOP_TIMEOUT)
    name = f"{machine.arch} guest on {machine.backend}"
    sections = [
        (f"console of the {name}", machine.console.output.decode(errors="replace")),
        (f"log of the {name}", machine.console.log.decode(errors="replace")),
        (f"state of the {name}", machine.crash_report()),
    ]
    return [(title, text) for title, text in sections if text]
