"""`vmm doctor`: what this host offers, which backend each architecture gets, and what to do."""

from __future__ import annotations

import json
import os
import platform

import click

from vmm.arch import ARCHITECTURES, host_arch
from vmm.backends.select import inspect_backends
from vmm.images.bundled import ARTIFACTS, bundled_programs, kernel_path


def _host() -> dict[str, object]:
    return {
        "architecture": host_arch() or platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "kvm_device": _kvm_device(),
    }


def _kvm_device() -> str:
    if not os.path.exists("/dev/kvm"):
        return "missing"
    return "usable" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "no permission"


def _guest() -> dict[str, object]:
    missing = []
    for arch in ARCHITECTURES:
        try:
            kernel_path(arch)
        except Exception as error:
            missing.append(str(error))
    return {"folder": ARTIFACTS, "programs": bundled_programs(), "missing": missing}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Say what this host offers, which backend each architecture gets and why."""
    facts: dict[str, dict[str, object]] = {
        "host": _host(),
        "backends": {arch: inspect_backends(arch) for arch in ARCHITECTURES},
        "guest": _guest(),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for section in (_print_host, _print_backends, _print_guest):
        section(facts)


def _print_host(facts: dict[str, dict[str, object]]) -> None:
    host = facts["host"]
    click.echo(
        f"host: {host['architecture']}, Linux {host['kernel']}, Python {host['python']},"
        f" {host['cpus']} processors; /dev/kvm: {host['kvm_device']}"
    )


def _print_backends(facts: dict[str, dict[str, object]]) -> None:
    for arch, report in facts["backends"].items():
        assert isinstance(report, dict)
        click.echo(f"{arch} guests: {report['choice']}: {report['reason']}")
        for name, finding in report["findings"].items():
            click.echo(f"  {name}: {finding}")
        if report["advice"]:
            click.echo(f"  to do: {report['advice']}")


def _print_guest(facts: dict[str, dict[str, object]]) -> None:
    guest = facts["guest"]
    programs = guest["programs"]
    missing = guest["missing"]
    assert isinstance(programs, list)
    assert isinstance(missing, list)
    click.echo(f"bundled programs: {', '.join(programs) or 'none'}")
    for complaint in missing:
        click.echo(f"  missing: {complaint}")
