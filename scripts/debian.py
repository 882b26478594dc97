"""Debian packages for any architecture and release, without touching the host's own apt.

apt runs on a private state, so a foreign architecture needs neither `dpkg --add-architecture` nor
root. Where packages come from, and through which proxy, is what the host's apt is set up with.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_INSTALL = Path(__file__).resolve().parent / "apt-install"

# Debian's names of the architectures, by the kernel's.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_CONFIGURATION = """\
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
// What the host does after an update of its own lists.
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class DebianError(Exception):
    """Packages cannot be had; the message names which, and what is missing."""


def host_architecture() -> str:
    """Return Debian's name of the host's architecture."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def cache_directory() -> Path:
    """Return where everything downloaded is kept: $CALYPSO_CACHE, else under ~/.cache."""
    named = os.environ.get("CALYPSO_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "calypso"


def install_tools(tools: dict[str, str]) -> None:
    """Make commands available, given as command -> Debian package that has it.

    Raises:
        DebianError: where one is missing and cannot be installed.
    """
    missing = {tool: package for tool, package in tools.items() if find_tool(tool) is None}
    if not missing:
        return
    command = [str(APT_INSTALL), *sorted(set(missing.values()))]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise DebianError(f"no {', '.join(missing)} here: {result.stderr.strip()}")


def find_tool(tool: str) -> str | None:
    """Return the path of a command, also where only root has it on the PATH."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def open_release(suite: str, architecture: str) -> Iterator[Release]:
    """Fetch the lists of one release for one architecture, to download from.

    Raises:
        DebianError: where there is no apt, no archive, or no such release.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if find_tool(tool) is None:
            raise DebianError(f"no {tool} here: packages come from a Debian archive")
    if not KEYRING.exists():
        raise DebianError(f"no {KEYRING} here: install debian-archive-keyring")
    archive, security = _archives()
    sources = [f"deb [signed-by={KEYRING}] {archive} {suite} main\n"]
    if security is not None:
        sources.append(f"deb [signed-by={KEYRING}] {security} {suite}-security main\n")

    with tempfile.TemporaryDirectory(prefix="calypso-apt.") as name:
        state = Path(name)
        for directory in ("lists/partial", "cache/archives/partial"):
            (state / directory).mkdir(parents=True)
        (state / "status").touch()
        (state / "sources.list").write_text("".join(sources))
        configuration = _CONFIGURATION.format(architecture=architecture, state=state)
        (state / "apt.conf").write_text(configuration)
        release = Release(state)
        release.update()
        yield release


class Release:
    """A release of Debian for one architecture; downloads live until it is left."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def update(self) -> None:
        """Fetch the lists of packages."""
        self._apt("apt-get", "update")

    def dependencies(self, package: str) -> list[str]:
        """Return what a package depends on directly; for a meta package, what it stands for."""
        listing = self._apt("apt-cache", "depends", "--important", package)
        lines = (line.strip() for line in listing.splitlines())
        return [line.partition(": ")[2] for line in lines if line.startswith("Depends: ")]

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Fetch just these packages."""
        return self._downloaded("apt-get", "download", *packages)

    def download_with_dependencies(self, packages: Sequence[str]) -> list[Path]:
        """Fetch these packages and all that they need."""
        return self._downloaded("apt-get", "--yes", "--download-only", "install", *packages)

    def _downloaded(self, *command: str) -> list[Path]:
        # `download` writes to the working directory, `install` to the cache; both are emptied so
        # that what is found afterwards is what was asked for.
        into = Path(tempfile.mkdtemp(prefix="packages.", dir=self._state))
        archives = self._state / "cache" / "archives"
        self._apt(*command, directory=into)
        for package in archives.glob("*.deb"):
            package.rename(into / package.name)
        return sorted(into.glob("*.deb"))

    def _apt(self, tool: str, *arguments: str, directory: Path | None = None) -> str:
        command = [tool, "--quiet", f"--config-file={self._state}/apt.conf", *arguments]
        result = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise DebianError(f"{tool} {' '.join(arguments)} failed: {result.stderr.strip()}")
        return result.stdout


def extract(packages: Iterable[Path], root: Path) -> None:
    """Unpack packages over each other into ``root`` without running anything of theirs."""
    for package in packages:
        command = ["dpkg-deb", "--fsys-tarfile", str(package)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as unpack:
            # A root directory may have /lib as a symlink to /usr/lib; packages say directory.
            subprocess.run(
                ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner"],
                stdin=unpack.stdout,
                check=True,
            )
        if unpack.returncode != 0:
            raise DebianError(f"{package.name} is not a whole Debian package")


def _archives() -> tuple[str, str | None]:
    """Return the addresses of Debian's archive and of its security updates."""
    named = os.environ.get("CALYPSO_DEBIAN_ARCHIVE")
    if named:
        return named, None
    found = _host_archives() or _host_archives(update=True)
    if "Debian" not in found:
        raise DebianError(
            "this host's apt has no Debian archive; name one with CALYPSO_DEBIAN_ARCHIVE=URL"
        )
    return found["Debian"], found.get("Debian-Security")


def _host_archives(*, update: bool = False) -> dict[str, str]:
    """Return address by label of the host's archives that are Debian's own.

    apt knows the labels once it has the lists. A new machine has none yet; ``update`` fetches
    them into a directory of ours, as the host's own belong to root.
    """
    with tempfile.TemporaryDirectory(prefix="calypso-apt.") as state:
        private: list[str] = []
        if update:
            Path(state, "lists", "partial").mkdir(parents=True)
            private = [f"-oDir::State={state}", f"-oDir::Cache={state}", "-oAPT::Sandbox::User="]
            subprocess.run(["apt-get", "-qq", *private, "update"], check=False)
        query = ["apt-get", *private, "indextargets", "--format", "$(LABEL) $(REPO_URI)"]
        listing = subprocess.run(
            [*query, "Created-By: Packages", "Origin: Debian"],
            capture_output=True,
            text=True,
            check=False,
        )
    pairs = (line.split(" ", 1) for line in listing.stdout.splitlines() if " " in line)
    return {label: address.rstrip("/") for label, address in pairs}
