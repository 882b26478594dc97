"""The IRQ input, WFI, the generic timers and system registers that are devices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.vmm.backends.unicorn.arm64.guest import DEVICE, Guest
from vmm.backends.exits import Interrupted, Shutdown
from vmm.backends.unicorn.arm64.vcpu import COUNTER_HZ

Boot = Callable[[str], Guest]

ACKNOWLEDGE = (3, 0, 12, 12, 0)  # ICC_IAR1_EL1
END = (3, 0, 12, 12, 1)  # ICC_EOIR1_EL1

# Counts interrupts in X28; X27 is what was acknowledged last.
COUNTER = """
handler:
    mrs x27, s3_0_c12_c12_0
    add x28, x28, #1
    msr s3_0_c12_c12_1, x27
    eret
    vectors handler
"""


class Controller:
    """A GIC of one wire per interrupt: the lowest that is up is acknowledged."""

    def __init__(self, guest: Guest) -> None:
        self.wire = guest.vcpu.irq_line()
        self.lines: set[int] = set()
        self.active: set[int] = set()
        self.ended: list[int] = []
        self.acknowledged = 0
        self.pulses = False
        guest.vcpu.attach_system_registers(self)

    def line(self, number: int) -> Callable[[bool], None]:
        def drive(level: bool) -> None:
            (self.lines.add if level else self.lines.discard)(number)
            self.update()

        return drive

    def update(self) -> None:
        self.wire(bool(self.lines - self.active))

    def encodings(self) -> tuple[tuple[int, int, int, int, int], ...]:
        return (ACKNOWLEDGE, END)

    def read_register(self, encoding: tuple[int, int, int, int, int]) -> int:
        assert encoding == ACKNOWLEDGE
        waiting = sorted(self.lines - self.active)
        if not waiting:
            return 1023
        self.acknowledged += 1
        self.active.add(waiting[0])
        if self.pulses:
            self.lines.discard(waiting[0])
        self.update()
        return waiting[0]

    def write_register(self, encoding: tuple[int, int, int, int, int], value: int) -> None:
        assert encoding == END
        self.ended.append(value)
        self.active.discard(value)
        self.update()


def later(seconds: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_wfi_sleeps_until_an_interrupt(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        "adr x0, vectors \n msr vbar_el1, x0 \n msr daifclr, #2 \nwfi \n power_off \n" + COUNTER
    )
    controller = Controller(guest)
    controller.pulses = True
    start = time.process_time()
    timer = later(0.2, lambda: controller.line(40)(True))
    assert guest.run() == Shutdown()
    timer.join()
    assert guest.register("x28") == 1
    assert guest.register("x27") == 40
    assert controller.ended == [40]
    assert time.process_time() - start < 0.1


def test_wfi_ends_with_the_interrupt_masked(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        "adr x0, vectors \n msr vbar_el1, x0 \n"
        "wfi \n mov x20, x28 \n msr daifclr, #2 \n"
        "1: cbz x28, 1b \n power_off \n" + COUNTER
    )
    controller = Controller(guest)
    controller.pulses = True
    timer = later(0.05, lambda: controller.line(40)(True))
    assert guest.run() == Shutdown()
    timer.join()
    assert guest.register("x20") == 0
    assert guest.register("x28") == 1


def test_wfi_does_not_sleep_with_an_interrupt_pending(arm64_guest: Boot) -> None:
    guest = arm64_guest("wfi \n power_off")
    guest.vcpu.irq_line()(True)
    assert guest.run() == Shutdown()


def test_a_kick_ends_the_sleep_and_only_that(arm64_guest: Boot) -> None:
    guest = arm64_guest("wfi \n mov x20, #1 \n power_off")
    assert guest.run(timeout=0.05) == Interrupted()
    assert guest.run(timeout=0.05) == Interrupted()
    assert guest.register("x20") == 0
    timer = later(0.05, lambda: guest.vcpu.irq_line()(True))
    assert guest.run() == Shutdown()
    timer.join()


def test_psci_suspend_sleeps_until_an_interrupt(arm64_guest: Boot) -> None:
    guest = arm64_guest("load x0, 0xc4000001 \n mov x1, #0 \n hvc #0 \n mov x20, x0 \n power_off")
    assert guest.run(timeout=0.05) == Interrupted()
    guest.vcpu.irq_line()(True)
    assert guest.run() == Shutdown()
    assert guest.register("x20") == 0


def test_an_interrupt_reaches_a_busy_loop(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        "adr x0, vectors \n msr vbar_el1, x0 \n msr daifclr, #2 \n"
        "1: add x20, x20, #1 \n cmp x28, #3 \n b.lo 1b \n power_off \n" + COUNTER
    )
    controller = Controller(guest)
    controller.pulses = True

    def fire() -> None:
        for number in range(3):
            before = controller.acknowledged
            controller.line(40 + number)(True)
            while controller.acknowledged == before:
                time.sleep(0.001)

    timer = later(0.02, fire)
    assert guest.run() == Shutdown()
    timer.join()
    assert controller.ended == [40, 41, 42]


def test_the_level_is_seen_until_it_falls(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"""
        adr x0, vectors
        msr vbar_el1, x0
        load x9, {DEVICE:#x}
        msr daifclr, #2
    1:  cmp x28, #4
        b.lo 1b
        power_off
    handler:
        mrs x27, s3_0_c12_c12_0
        add x28, x28, #1
        cmp x28, #4
        b.lo 2f
        str xzr, [x9]
    2:  msr s3_0_c12_c12_1, x27
        eret
        vectors handler
        """
    )
    controller = Controller(guest)
    guest.devices.on_write = lambda *_: controller.line(40)(False)
    controller.line(40)(True)
    assert guest.run() == Shutdown()
    assert controller.ended == [40] * 4


def test_an_interrupt_raised_by_a_write_is_taken_at_once(native: None) -> None:
    guest = Guest(
        f"adr x0, vectors \n msr vbar_el1, x0 \n load x9, {DEVICE:#x} \n msr daifclr, #2 \n"
        "str xzr, [x9] \n b 1f \n 1: mov x20, x28 \n power_off \n" + COUNTER
    )
    controller = Controller(guest)
    controller.pulses = True
    guest.devices.on_write = lambda *_: controller.line(40)(True)
    assert guest.run() == Shutdown()
    assert guest.register("x20") == 1
    guest.close()


def test_no_interrupt_is_lost_in_a_storm(arm64_guest: Boot, core: str) -> None:
    # Every interrupt is raised from another thread, while the vCPU takes exceptions: the engine
    # changes its pending interrupts then, by load and store.
    guest = arm64_guest(
        "adr x0, vectors \n msr vbar_el1, x0 \n msr daifclr, #2 \n"
        "1: brk #1 \n cbz x26, 1b \n power_off \n"
        """
        handler:
            mrs x25, esr_el1
            lsr x25, x25, #26
            mrs x27, s3_0_c12_c12_0
            cmp x27, #1023
            b.eq 2f
            add x28, x28, #1
            msr s3_0_c12_c12_1, x27
            cmp x27, #99
            cset x26, eq
            eret
        2:  mrs x24, elr_el1
            add x24, x24, #4
            msr elr_el1, x24
            eret
            vectors handler
        """
    )
    controller = Controller(guest)
    controller.pulses = True
    count = 2000 if core == "native" else 50

    def storm() -> None:
        for number in range(count):
            with guest.devices.lock:
                controller.line(99 if number == count - 1 else 40)(True)
            while controller.acknowledged <= number:
                time.sleep(0)

    timer = later(0, storm)
    assert guest.run(60) == Shutdown()
    timer.join()
    assert controller.acknowledged == count
    assert guest.register("x28") == count


def test_timer_registers(arm64_guest: Boot) -> None:
    for timer in ("cntv", "cntp"):
        counter = {"cntv": "cntvct_el0", "cntp": "cntpct_el0"}[timer]
        guest = arm64_guest(
            f"""
            mrs x19, cntfrq_el0
            mrs x20, {timer}_ctl_el0        /* reset: disabled */
            load x1, 0x123456789abcdef0
            msr {timer}_cval_el0, x1
            mrs x21, {timer}_cval_el0
            mov x1, #3
            msr {timer}_ctl_el0, x1
            mrs x22, {timer}_ctl_el0        /* enabled, masked, not expired */
            mrs x1, {counter}
            msr {timer}_cval_el0, x1
            mrs x23, {timer}_ctl_el0        /* expired */
            load x1, 1000000
            msr {timer}_tval_el0, x1
            mrs x24, {timer}_tval_el0
            mrs x25, {timer}_cval_el0
            mrs x26, {counter}
            mov x1, #-5
            msr {timer}_tval_el0, x1
            mrs x27, {timer}_ctl_el0
            msr {timer}_ctl_el0, xzr
            mrs x28, {timer}_ctl_el0        /* disabled: no status */
            power_off
            """
        )
        assert guest.run() == Shutdown()
        assert guest.register("x19") == COUNTER_HZ == guest.vm.counter_hz
        assert [guest.register(f"x{n}") for n in (20, 22, 23, 27, 28)] == [0, 3, 7, 7, 0]
        assert guest.register("x21") == 0x1234_5678_9ABC_DEF0
        assert 0 < guest.register("x24") <= 1_000_000
        assert abs(guest.register("x25") - guest.register("x26") - 1_000_000) < COUNTER_HZ // 10
        guest.close()


def test_the_counter_is_the_clock(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"load x9, {DEVICE:#x} \n mrs x20, cntvct_el0 \n str x20, [x9] \n power_off"
    )
    times = []
    guest.devices.on_write = lambda *_: times.append(guest.clock.now())
    before = guest.clock.now()
    assert guest.run() == Shutdown()
    assert before <= guest.register("x20") * 1_000_000_000 // COUNTER_HZ + 1000
    assert guest.register("x20") * 1_000_000_000 // COUNTER_HZ <= times[0] + 1000


def test_timers_interrupt_on_time(arm64_guest: Boot) -> None:
    for timer, counter, intid in (("cntv", "cntvct_el0", 27), ("cntp", "cntpct_el0", 30)):
        guest = arm64_guest(
            f"""
            adr x0, vectors
            msr vbar_el1, x0
            mrs x20, {counter}
            load x1, {COUNTER_HZ // 50}     /* 20 ms */
            msr {timer}_tval_el0, x1
            mrs x22, {timer}_cval_el0
            mov x1, #1
            msr {timer}_ctl_el0, x1
            msr daifclr, #2
        1:  wfi
            cbz x28, 1b
            power_off
        handler:
            mrs x21, {counter}
            mrs x23, {timer}_ctl_el0
            mrs x27, s3_0_c12_c12_0
            add x28, x28, #1
            msr {timer}_ctl_el0, xzr
            msr s3_0_c12_c12_1, x27
            eret
            vectors handler
            """
        )
        controller = Controller(guest)
        guest.vcpu.connect_timer(controller.line(27), controller.line(30))
        assert guest.run() == Shutdown()
        assert guest.register("x27") == intid
        assert guest.register("x28") == 1
        assert guest.register("x23") == 5
        assert guest.register("x21") >= guest.register("x22")
        assert controller.lines == set()
        guest.close()


def test_a_timer_interrupts_a_busy_loop(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        adr x0, vectors
        msr vbar_el1, x0
        mov x1, #10000
        msr cntv_tval_el0, x1
        mov x1, #1
        msr cntv_ctl_el0, x1
        msr daifclr, #2
    1:  cmp x28, #5
        b.lo 1b
        power_off
    handler:
        mrs x27, s3_0_c12_c12_0
        add x28, x28, #1
        mov x1, #10000
        msr cntv_tval_el0, x1
        msr s3_0_c12_c12_1, x27
        eret
        vectors handler
        """
    )
    controller = Controller(guest)
    guest.vcpu.connect_timer(controller.line(27), controller.line(30))
    assert guest.run() == Shutdown()
    # On a slow host the next one is due before the loop looks.
    assert controller.ended == [27] * guest.register("x28")
    assert guest.register("x28") >= 5


def test_device_registers_are_undefined_at_el0(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        """
        adr x0, vectors
        msr vbar_el1, x0
        mov x0, #0x3c0
        msr spsr_el1, x0
        adr x0, user
        msr elr_el1, x0
        eret
    user:
        mrs x1, s3_0_c12_c12_0
        b .
    handler:
        mrs x20, esr_el1
        power_off
        vectors handler
        """
    )
    controller = Controller(guest)
    controller.line(40)(True)
    assert guest.run() == Shutdown()
    assert guest.register("x20") == 1 << 25
    assert controller.acknowledged == 0


def test_attached_registers_show_in_the_identification(arm64_guest: Boot) -> None:
    for attached in (False, True):
        guest = arm64_guest("mrs x20, id_aa64pfr0_el1 \n power_off")
        if attached:
            Controller(guest)
        assert guest.run() == Shutdown()
        assert guest.register("x20") >> 24 & 0xF == attached
        guest.close()


def test_a_register_write_may_use_the_zero_register(arm64_guest: Boot) -> None:
    guest = arm64_guest("msr s3_0_c12_c12_1, xzr \n mrs xzr, s3_0_c12_c12_0 \n power_off")
    controller = Controller(guest)
    assert guest.run() == Shutdown()
    assert controller.ended == [0]
