"""The quick parser of `vmm run` and click agree, because both read the same table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.cli import commands
from vmm.cli.options import RUN_OPTIONS, parse_run


def test_options_end_at_the_image() -> None:
    command = parse_run(["--memory", "32M", "--env=A=1", "--env", "B=2", "prog", "--memory", "x"])
    assert command is not None
    assert command.options == {"memory": "32M", "env": ["A=1", "B=2"]}
    assert command.image == "prog"
    assert command.arguments == ("--memory", "x")


def test_double_dash_ends_options() -> None:
    command = parse_run(["--quiet", "--", "-odd-name", "a"])
    assert command is not None
    assert (command.image, command.arguments) == ("-odd-name", ("a",))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["--memory"],
        ["--bogus", "prog"],
        ["--backend", "qemu", "prog"],
        ["--cpus", "two", "prog"],
        ["--timeout", "-1", "prog"],
        ["--quiet=1", "prog"],
        ["--"],
    ],
)
def test_anything_else_is_left_to_click(words: list[str]) -> None:
    assert parse_run(words) is None


_words = st.lists(
    st.one_of(
        st.sampled_from([option.name for option in RUN_OPTIONS]),
        st.sampled_from([f"{option.name}=3" for option in RUN_OPTIONS]),
        st.sampled_from(["--", "prog", "auto", "kvm", "64M", "2", "0.5", "A=b", "-x", ""]),
    ),
    max_size=6,
)


@given(_words)
def test_both_parsers_agree_on_what_is_well_formed(words: list[str]) -> None:
    quick = parse_run(words)
    if quick is None:
        return
    context = commands.run.make_context("run", list(words))
    given_options = {
        name: list(content) if isinstance(content, tuple) else content
        for name, content in context.params.items()
        if name not in ("image", "arguments") and content not in (None, False, ())
    }
    assert given_options == quick.options
    assert context.params["image"] == quick.image
    assert context.params["arguments"] == quick.arguments
