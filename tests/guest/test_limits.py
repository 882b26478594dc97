"""What the kernel may take at most: the goals of `scripts/bench kernel`."""

from __future__ import annotations

from tests.benchmarks import kernel


def test_the_image_is_small(arch: str) -> None:
    assert kernel.stripped_size(kernel.image(arch)) <= kernel.SIZE_GOAL


def test_little_memory_suffices(arch: str) -> None:
    assert kernel.runs_in(arch, kernel.MEMORY_GOAL)
    assert not kernel.runs_in(arch, kernel.MEMORY_GOAL // 4)


def test_boot_takes_few_instructions(arch: str) -> None:
    assert 1000 < kernel.boot_instructions(arch) <= kernel.BOOT_GOAL
