"""What all tests share: the engines they run on, and programs that nobody here wrote.

A test that takes ``arch`` runs once per architecture of a guest; one that takes ``backend`` runs on
Unicorn and on KVM; one that takes both runs on every pair that can exist on this host (KVM runs
only guests of the host's architecture). Tests on KVM carry the marker ``kvm``.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from scripts import inputs
from scripts.debian import DebianError
from vmm.arch import ARCHITECTURES, host_arch

ON_KVM = pytest.mark.kvm

BACKENDS = ["unicorn", pytest.param("kvm", marks=ON_KVM)]

PAIRS = [
    *(pytest.param(arch, "unicorn", id=f"{arch}-unicorn") for arch in ARCHITECTURES),
    pytest.param(host_arch(), "kvm", id=f"{host_arch()}-kvm", marks=ON_KVM),
]


# How long an example takes says nothing on shared machines, and least of all under emulation; the
# lab has the checkout from the host and leaves nothing in it.
hypothesis.settings.register_profile("host", deadline=None)
hypothesis.settings.register_profile("lab", deadline=None, max_examples=20, database=None)
hypothesis.settings.load_profile("lab" if "CALYPSO_LAB" in os.environ else "host")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kvm: needs a /dev/kvm that this process may open")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize ``arch`` and ``backend`` wherever a test does not do so itself."""
    needed = set(metafunc.fixturenames) - _own_parameters(metafunc)
    if {"arch", "backend"} <= needed:
        metafunc.parametrize(("arch", "backend"), PAIRS)
    elif "arch" in needed:
        metafunc.parametrize("arch", ARCHITECTURES)
    elif "backend" in needed:
        metafunc.parametrize("backend", BACKENDS)


def _own_parameters(metafunc: pytest.Metafunc) -> set[str]:
    names: set[str] = set()
    for mark in metafunc.definition.iter_markers("parametrize"):
        given = mark.args[0]
        names.update(given.replace(" ", "").split(",") if isinstance(given, str) else given)
    return names


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kvm") is None:
        return
    missing = missing_kvm()
    if missing is not None:
        pytest.skip(missing)


def missing_kvm() -> str | None:
    """Say why this host has no KVM for its own architecture, or return None."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        return f"/dev/kvm cannot be opened: {error.strerror} ({name})"
    return None


@pytest.fixture(scope="session")
def unavailable_inputs() -> dict[str, str]:
    """Why each input could not be had, so that one failing download is not tried again."""
    return {}


@pytest.fixture
def busybox(arch: str, unavailable_inputs: dict[str, str]) -> Path:
    """Debian's statically linked busybox for ``arch``; the test is skipped where it is not had."""
    if arch not in unavailable_inputs:
        try:
            return inputs.busybox(arch)
        except DebianError as error:
            unavailable_inputs[arch] = str(error)
    pytest.skip(unavailable_inputs[arch])


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT raise `KeyboardInterrupt`, which it does not where a shell's `&` began this."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
