# Sourced by the commands of this directory, with $scripts set to it: makes sure that .venv is
# there, with what pyproject.toml asks for. When nothing changed this takes no process. Whether
# everything generated is as new as its sources is for launch.py and checks.py to see: they can
# look at hundreds of files faster than a shell. Sets $venv.

scripts_have_environment() {
    venv=$scripts/../.venv
    [ -x "$venv/bin/python" ] || return 1
    [ "$venv/installed" -nt "$scripts/../pyproject.toml" ] || return 1
    [ -e "$venv/sources" ] && [ -e "$venv/launch.pyc" ] && [ -e "$scripts/../vmm/artifacts" ]
}

# What the guest prints is standard output; what set-up says is not.
scripts_have_environment || "$scripts/set-up" >&2 || exit
