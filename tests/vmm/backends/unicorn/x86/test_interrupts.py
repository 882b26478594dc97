"""The x86_64 vCPU: external interrupts, HLT, the acknowledge cycle."""

from __future__ import annotations

import threading
import time

from tests.vmm.backends.unicorn.conftest import MakeGuest
from tests.vmm.backends.unicorn.x86.controller import (
    COUNT,
    REQUEST,
    SPURIOUS,
    Controller,
    Stack,
    counts,
)
from tests.vmm.backends.unicorn.x86.guest import ENTER_USER, SCRATCH, TRAP_STACK, UNMAPPED, Guest
from vmm.backends.exits import Crashed, Halted, Interrupted


def test_an_interrupt_wakes_hlt(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        """
        start:
            sti
            hlt
        behind:
            cli
            hlt
        on_32:
            mov rbx, [rsp]
            iretq
        """
    )
    controller = Controller(guest)
    threading.Timer(0.05, controller.request, (32,)).start()
    assert guest.run() == Halted()
    assert guest.register("rbx") == guest["behind"]
    assert controller.acknowledged == [32]


def test_hlt_sleeps(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: sti\n hlt\n cli\n hlt")
    Controller(guest)
    before = time.thread_time()
    assert guest.run(0.3) == Interrupted()
    assert time.thread_time() - before < 0.05
    assert guest.run(0.05) == Interrupted()  # still asleep


def test_hlt_with_interrupts_off_is_the_end(x86_guest: MakeGuest) -> None:
    guest = x86_guest("start: cli\n hlt\n hlt")
    controller = Controller(guest)
    controller.request(32)
    assert guest.run() == Halted()
    assert guest.run() == Halted()  # it does not wake
    assert controller.acknowledged == []


def test_an_interrupt_reaches_a_busy_loop(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            sti
        again:
            cmp qword ptr [{SCRATCH}], 0
            je again
            cli
            hlt
        {COUNT}
        """
    )
    controller = Controller(guest)
    threading.Timer(0.05, controller.request, (32,)).start()
    assert guest.run() == Halted()
    assert counts(guest) == (1, 0, 0)


def test_an_interrupt_that_an_access_causes_comes_at_once(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            sti
            nop
            out {REQUEST}, al
        again:
            inc rbp
            cmp qword ptr [{SCRATCH}], 0
            je again
            cli
            hlt
        {COUNT}
        """
    )
    Controller(guest)
    assert guest.run() == Halted()
    assert guest.register("rbp") <= 2


def test_an_interrupt_reaches_ring_3(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            {ENTER_USER}
        user:
            jmp user
        on_32:
            mov rax, rsp
            mov rbx, [rsp]
            hlt
        """
    )
    controller = Controller(guest)
    threading.Timer(0.02, controller.request, (32,)).start()
    assert guest.run() == Halted()
    assert guest.register("rax") == TRAP_STACK - 40
    assert guest.register("rbx") == guest["user"]


def test_interrupts_wait_for_if(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            out {REQUEST}, al
            mov ecx, 100
        again:
            dec ecx
            jnz again
            mov rbx, [{SCRATCH}]            # none yet
            sti
            nop
            nop
            mov ecx, 50000000
        wait:
            cmp qword ptr [{SCRATCH}], 0
            jne taken
            dec ecx
            jnz wait
        taken:
            cli
            hlt
        {COUNT}
        """
    )
    Controller(guest)
    assert guest.run() == Halted()
    assert guest.register("rbx") == 0
    assert counts(guest) == (1, 0, 0)


def test_sti_shadow_covers_one_instruction(x86_guest: MakeGuest) -> None:
    """STI; HLT must not lose the interrupt between the two, and CLI cancels STI."""
    guest = x86_guest(
        f"""
        start:
            mov ecx, 1000
        again:
            sti
            cli
            dec ecx
            jnz again
            mov rbx, [{SCRATCH}]
            sti
            hlt
            cli
            hlt
        {COUNT}
        """
    )
    controller = Controller(guest)
    controller.request(32)
    assert guest.run() == Halted()
    assert guest.register("rbx") == 0
    assert counts(guest) == (1, 0, 0)


def test_mov_ss_shadow(x86_guest: MakeGuest) -> None:
    """Stacks are switched by MOV SS and the MOV to RSP behind it, with nothing in between."""
    guest = x86_guest(
        f"""
        start:
            sti
            mov eax, 0x10
            out {REQUEST}, al
            mov ss, eax
        between:
            mov rsp, 0x70000
        wait:
            cmp qword ptr [{SCRATCH}], 0
            je wait
            cli
            hlt
        on_32:
            mov rbx, [rsp]
            inc qword ptr [{SCRATCH}]
            iretq
        """
    )
    Controller(guest)
    assert guest.run() == Halted()
    assert guest.register("rbx") >= guest["wait"]


def test_a_request_withdrawn_in_time_is_not_taken(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            out {REQUEST}, al
            sti
            nop
            mov ecx, 10000
        again:
            dec ecx
            jnz again
            cli
            hlt
        {COUNT}
        """
    )
    controller = Controller(guest)

    def request_and_withdraw() -> None:
        controller.request(32)
        controller.withdraw()

    controller.on_request = request_and_withdraw
    assert guest.run() == Halted()
    assert counts(guest) == (0, 0, 0)
    assert controller.acknowledged == []


def test_a_spurious_vector_is_delivered(x86_guest: MakeGuest) -> None:
    """A controller that has nothing after all answers with its spurious vector."""
    guest = x86_guest(f"start: sti\n hlt\n cli\n hlt\n {COUNT}")
    controller = Controller(guest)
    with controller.lock:
        controller.line(True)
    assert guest.run() == Halted()
    assert counts(guest) == (0, 0, 1)


def test_all_requests_are_delivered_one_after_the_other(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            sti
        again:
            mov rax, [{SCRATCH}]
            add rax, [{SCRATCH} + 8]
            cmp rax, 100
            jb again
            cli
            hlt
        {COUNT}
        """
    )
    for kind in (Controller, Stack):
        guest.memory.write(SCRATCH, bytes(24))
        guest.vcpu.set_registers({"rip": guest["start"]})
        controller = kind(guest)
        for index in range(100):
            controller.request(32 + index % 2)
        assert guest.run() == Halted()
        assert counts(guest) == (50, 50, 0)
        assert controller.acknowledged == [32, 33] * 50


def test_interrupts_nest(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            sti
            hlt
            cli
            hlt
        on_32:
            sti
            nop
            mov ecx, 100000000
        wait:
            cmp qword ptr [{SCRATCH} + 8], 0
            jne nested
            dec ecx
            jnz wait
        nested:
            mov rbx, [{SCRATCH} + 8]
            iretq
        on_33:
            inc qword ptr [{SCRATCH} + 8]
            iretq
        """
    )
    controller = Stack(guest)
    controller.request(32)
    controller.request(33)
    assert guest.run() == Halted()
    assert guest.register("rbx") == 1


def storm(guest: Guest, controller: Controller, total: int) -> None:
    """Request ``total`` interrupts from two threads while the guest runs and is kicked."""

    def request(vector: int, number: int) -> None:
        for index in range(number):
            controller.request(vector)
            if index % 16 == 0:
                time.sleep(0.000_2)

    threads = [threading.Thread(target=request, args=(32 + i, total // 2)) for i in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while guest.run(0.005) == Interrupted():
        assert time.monotonic() < deadline, (counts(guest), len(controller.acknowledged))
    for thread in threads:
        thread.join()


def test_no_interrupt_is_lost_or_doubled_in_a_storm(x86_guest: MakeGuest, core: str) -> None:
    total = 4000 if core == "native" else 1000
    guest = x86_guest(
        f"""
        start:
            mov rbp, {total}
            sti
        again:
            hlt
            mov ecx, 50
        busy:
            lock inc qword ptr [{SCRATCH} + 32]
            dec ecx
            jnz busy
            cli
            mov rax, [{SCRATCH}]
            add rax, [{SCRATCH} + 8]
            sti
            cmp rax, rbp
            jb again
            cli
            hlt
        {COUNT}
        """
    )
    controller = Controller(guest)
    storm(guest, controller, total)
    assert counts(guest)[:2] == (total // 2, total // 2)
    taken = [vector for vector in controller.acknowledged if vector != SPURIOUS]
    assert (taken.count(32), taken.count(33)) == (total // 2, total // 2)
    assert counts(guest)[2] == len(controller.acknowledged) - len(taken)


def test_an_interrupt_on_a_bad_stack_faults(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            mov rsp, {UNMAPPED}
            sti
        again:
            jmp again
        on_32:
            hlt
        on_14_ist:
            pop rax
            hlt
        """
    )
    Controller(guest).request(32)
    assert guest.run() == Halted()
    assert guest.register("rax") == 2


def test_an_interrupt_with_a_null_task_register_does_not_harm(x86_guest: MakeGuest) -> None:
    guest = x86_guest(
        f"""
        start:
            xor eax, eax
            ltr ax
            {ENTER_USER}
        user:
            jmp user
        on_32:
            hlt
        """
    )
    Controller(guest).request(32)
    assert isinstance(guest.run(), Crashed)
