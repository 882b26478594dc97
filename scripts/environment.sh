# Sourced by the commands of this directory, with $scripts set to it: makes sure that .venv is
# there and that everything generated is as new as its sources. When nothing changed this is a few
# hundred stat calls inside the shell and no process, less than a millisecond.

scripts_are_current() {
    venv=$scripts/../.venv
    [ -x "$venv/bin/python" ] || return 1
    [ "$venv/installed" -nt "$scripts/../pyproject.toml" ] || return 1
    [ -e "$venv/sources" ] && [ -e "$scripts/../vmm/artifacts" ] || return 1

    # Sets the positional parameters of this function to what the generators read; its own time is
    # when they last began. A directory is newer when a file in it came or went.
    . "$venv/sources"
    for source; do
        [ "$scripts/../$source" -nt "$venv/sources" ] && return 1
    done
    return 0
}

# What the guest prints is standard output; what set-up says is not.
scripts_are_current || "$scripts/set-up" >&2 || exit
