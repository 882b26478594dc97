/* x86_64: interrupts, by the I/O APIC and the local APIC, which are where every PC has them. */
#include <arch/irq.h>
#include <calypso/arch.h>
#include <calypso/device.h>
#include <calypso/errno.h>
#include <calypso/irq.h>

/* Local APIC */
#define EOI 0x0b0
#define SPURIOUS_VECTOR 0x0f0
#define LVT_LINT0 0x350

#define APIC_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)

/* I/O APIC (82093AA): registers behind a window, two for each pin. */
#define IOAPIC 0xfec00000ull
#define REGISTER_SELECT 0x00
#define WINDOW 0x10
#define REDIRECTION 0x10
#define PINS 24

#define REDIRECTION_LEVEL (1u << 15)

static_assert(VECTOR_IRQ + PINS <= VECTOR_TIMER, "vectors");

int arch_irq_initialize(void)
{
	if (device_map(LOCAL_APIC, PAGE_SIZE) != 0 || device_map(IOAPIC, PAGE_SIZE) != 0)
		return -ENOMEM;
	device_write32(LOCAL_APIC + SPURIOUS_VECTOR, APIC_ENABLE | VECTOR_SPURIOUS);
	/* Where a PC has the 8259 pair, which nobody has given vectors. */
	device_write32(LOCAL_APIC + LVT_LINT0, LVT_MASKED);
	timer_initialize();
	return 0;
}

static void write_ioapic(unsigned number, uint32_t value)
{
	device_write32(IOAPIC + REGISTER_SELECT, number);
	device_write32(IOAPIC + WINDOW, value);
}

int arch_irq_enable(unsigned line)
{
	if (line >= PINS)
		return -EINVAL;
	/* To the processor whose APIC id is 0. */
	write_ioapic(REDIRECTION + 2 * line + 1, 0);
	write_ioapic(REDIRECTION + 2 * line, REDIRECTION_LEVEL | (VECTOR_IRQ + line));
	return 0;
}

/* On the interrupt stack. */
static void handle(uint64_t vector)
{
	if (vector == VECTOR_TIMER)
		time_alarm_expired();
	else
		irq_handle((unsigned)vector - VECTOR_IRQ);
}

void irq_interrupt(struct trap_frame *frame)
{
	if (frame->vector == VECTOR_SPURIOUS)
		return;
	irq_call(handle, frame->vector);
	device_write32(LOCAL_APIC + EOI, 0);
	if (frame_is_user(frame))
		interrupt_return(frame);
}
