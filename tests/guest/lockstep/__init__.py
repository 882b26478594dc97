"""Random system calls on Linux and in the guest, in lock step: all that can be seen is the same.

    python -m tests.guest.lockstep --steps 10000 --arch arm64

Both sides get the same calls with the same arguments, descriptor numbers included; results, errno
values, readiness and what was read are compared after each. All files are non-blocking, so that no
call waits.
"""
