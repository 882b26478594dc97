"""The pytest plugin, used by tests in a directory of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import missing_kvm
from vmm.arch import host_arch

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

UNICORN = "--vmm-backend=unicorn"


ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest with the plugin over a test file with this text, in a process of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        return pytester.runpytest_subprocess("-p", "vmm.testing.plugin", *options)

    return run


def test_guest_runs_on_all_targets(run: Run) -> None:
    result = run(
        """
        def test_pipe(guest, vmm_target):
            r, w = guest.pipe()
            guest.write(w, b"abc")
            assert guest.read(r, 100) == b"abc"
            assert guest.arch == vmm_target.arch
        """,
        "-v",
    )
    lacks_kvm = missing_kvm() is not None
    result.assert_outcomes(passed=2 if lacks_kvm else 3, skipped=int(lacks_kvm))
    result.stdout.fnmatch_lines_random(
        [
            "*test_pipe[[]x86_64-unicorn] PASSED*",
            "*test_pipe[[]arm64-unicorn] PASSED*",
            f"*test_pipe[[]{host_arch()}-kvm] *",
        ]
    )


def test_options_choose_targets(run: Run) -> None:
    text = "def test(vmm_target): print(vmm_target)"
    result = run(text, UNICORN, "--vmm-arch=arm64", "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*arm64-unicorn*"])


def test_machines_are_new_for_each_test_and_closed(run: Run) -> None:
    result = run(
        """
        import os
        import pytest

        made = []

        @pytest.mark.parametrize("number", range(3))
        def test_files(guest, vmm_machine, number):
            assert "mark" not in guest.listdir("/")
            guest.close(guest.open("/mark", os.O_CREAT))
            made.append(vmm_machine.service())

        def test_closed():
            from vmm import VmmError

            for machine in made:
                with pytest.raises(VmmError, match="closed"):
                    machine.start()
        """,
        UNICORN,
        "--vmm-arch=arm64",
    )
    result.assert_outcomes(passed=4)


def test_failures_show_console_and_state(run: Run) -> None:
    result = run(
        """
        def test_it(guest):
            guest.write(1, b"said on the console\\n")
            guest.syscall("exit_group", 3)
        """,
        UNICORN,
        "--vmm-arch=arm64",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*GuestStopped: the guest exited with status 3*",
            "*console of the arm64 guest on unicorn*",
            "said on the console",
            "*state of the arm64 guest on unicorn*",
            "the guest exited*",
            "pc 0x*",
        ]
    )


def test_a_machine_that_still_runs_is_stopped_for_its_report(run: Run) -> None:
    result = run(
        """
        def test_it(vmm_machine):
            machine = vmm_machine.service()
            machine.start()
            machine.guest.getpid()
            assert False
        """,
        UNICORN,
        "--vmm-arch=x86_64",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*state of the x86_64 guest*", "the guest stopped*", "rip 0x*"])


def test_calls_that_hang_end_by_the_timeout(run: Run) -> None:
    result = run(
        "def test_it(guest): guest.read(guest.pipe()[0], 1)",
        *(UNICORN, "--vmm-arch=arm64", "--vmm-timeout=0.2"),
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*GuestTimeout: *more than 0.2 s*"])


def test_a_skip_names_what_the_host_lacks(run: Run) -> None:
    other = "arm64" if host_arch() == "x86_64" else "x86_64"
    text = "def test(guest): pass"
    chosen = ("--vmm-backend=kvm", f"--vmm-arch={other}", "-rs")
    result = run(text, *chosen)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*KVM*"])


def test_with_require_kvm_it_fails(run: Run) -> None:
    other = "arm64" if host_arch() == "x86_64" else "x86_64"
    text = "def test(guest): pass"
    result = run(text, "--vmm-backend=kvm", f"--vmm-arch={other}", "--vmm-require-kvm")
    result.assert_outcomes(errors=1)


def test_a_run_without_machines_imports_none_of_the_vmm(run: Run) -> None:
    result = run(
        """
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.split(".")[0] == "vmm"}
            assert loaded <= {"vmm", "vmm.testing", "vmm.testing.plugin"}
            assert not {"cffi", "unicorn"} & set(sys.modules)
        """
    )
    result.assert_outcomes(passed=1)
