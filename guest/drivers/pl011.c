/* ARM PrimeCell UART (PL011), polled (Arm DDI 0183, chapter 3).
 *
 * Registers are 16 bits wide at multiples of 4; the bytes that matter here are all in the lowest.
 */
#include <calypso/device.h>
#include <calypso/serial.h>

enum register_offset {
	DATA = 0x000,		/* UARTDR */
	FLAGS = 0x018,		/* UARTFR */
	LINE_CONTROL = 0x02c,	/* UARTLCR_H */
	CONTROL = 0x030,	/* UARTCR */
	INTERRUPT_MASK = 0x038, /* UARTIMSC */
	INTERRUPT_CLEAR = 0x044, /* UARTICR */
};

#define FLAG_RECEIVE_EMPTY (1u << 4)
#define FLAG_TRANSMIT_FULL (1u << 5)
#define LINE_8_BITS_FIFO (3u << 5 | 1u << 4)
#define CONTROL_ENABLE (1u << 9 | 1u << 8 | 1u << 0) /* RXE, TXE, UARTEN */
#define ALL_INTERRUPTS 0x7ff

static void initialize(uint64_t base)
{
	/* The line control register may only change while the UART is off (3.3.8). */
	device_write16(base + CONTROL, 0);
	device_write16(base + INTERRUPT_MASK, 0);
	device_write16(base + INTERRUPT_CLEAR, ALL_INTERRUPTS);
	device_write16(base + LINE_CONTROL, LINE_8_BITS_FIFO);
	device_write16(base + CONTROL, CONTROL_ENABLE);
}

static bool can_send(uint64_t base)
{
	return (device_read16(base + FLAGS) & FLAG_TRANSMIT_FULL) == 0;
}

static void send(uint64_t base, uint8_t byte)
{
	device_write16(base + DATA, byte);
}

static bool can_receive(uint64_t base)
{
	return (device_read16(base + FLAGS) & FLAG_RECEIVE_EMPTY) == 0;
}

static uint8_t receive(uint64_t base)
{
	return (uint8_t)device_read16(base + DATA);
}

const struct serial_driver pl011_driver = {initialize, can_send, send, can_receive, receive};
