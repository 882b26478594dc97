# Sourced by the commands of this directory, with $scripts set to it: makes sure that .venv is
# there and that everything generated is as new as its sources. When nothing changed this is a few
# hundred stat calls inside the shell and no process, about half a millisecond.

scripts_are_current() {
    [ -x "$scripts/../.venv/bin/python" ] || return 1
    [ "$scripts/../.venv/installed" -nt "$scripts/../pyproject.toml" ] || return 1

    generated=$scripts/../.venv/generated
    [ -e "$generated" ] && [ -e "$scripts/../vmm/artifacts" ] || return 1
    # A directory is newer than the stamp when a file in it came or went. Names with an underscore
    # in front are written by the generators themselves.
    for source in \
        "$scripts/generate.py" \
        "$scripts"/../firmware/* "$scripts"/../firmware/*/* \
        "$scripts"/../guest/[!_]* "$scripts"/../guest/*/[!_]* "$scripts"/../guest/*/*/[!_]* \
        "$scripts"/../guest/*/*/*/[!_]* "$scripts"/../guest/*/*/*/*/[!_]* \
        "$scripts"/../vmm/backends/*/[!_]* "$scripts"/../vmm/host/[!_]*
    do
        [ "$source" -nt "$generated" ] && return 1
    done
    return 0
}

# What the guest prints is standard output; what set-up says is not.
scripts_are_current || "$scripts/set-up" >&2 || exit
