/* NS16550 and its descendants, polled (Texas Instruments PC16550D, section 8). */
#include <calypso/arch.h>
#include <calypso/serial.h>

enum register_offset {
	DATA = 0,	      /* RBR, THR */
	INTERRUPT_ENABLE = 1, /* IER */
	LINE_CONTROL = 3,     /* LCR */
	MODEM_CONTROL = 4,    /* MCR */
	LINE_STATUS = 5,      /* LSR */
	DIVISOR_LOW = 0,      /* with LINE_DIVISOR_ACCESS set */
	DIVISOR_HIGH = 1,
};

#define LINE_8N1 0x03
#define LINE_DIVISOR_ACCESS 0x80
#define MODEM_READY 0x03 /* DTR and RTS */
#define STATUS_DATA_READY 0x01
#define STATUS_TRANSMIT_EMPTY 0x20

static void initialize(uint64_t base)
{
	arch_port_write(base + INTERRUPT_ENABLE, 0);
	arch_port_write(base + LINE_CONTROL, LINE_DIVISOR_ACCESS | LINE_8N1);
	arch_port_write(base + DIVISOR_LOW, 1); /* 115200 baud from 1.8432 MHz */
	arch_port_write(base + DIVISOR_HIGH, 0);
	arch_port_write(base + LINE_CONTROL, LINE_8N1);
	/* The FIFOs stay as they are: switching them on would drop what has arrived already. */
	arch_port_write(base + MODEM_CONTROL, MODEM_READY);
}

static bool can_send(uint64_t base)
{
	return (arch_port_read(base + LINE_STATUS) & STATUS_TRANSMIT_EMPTY) != 0;
}

static void send(uint64_t base, uint8_t byte)
{
	arch_port_write(base + DATA, byte);
}

static bool can_receive(uint64_t base)
{
	return (arch_port_read(base + LINE_STATUS) & STATUS_DATA_READY) != 0;
}

static uint8_t receive(uint64_t base)
{
	return arch_port_read(base + DATA);
}

const struct serial_driver ns16550_driver = {initialize, can_send, send, can_receive, receive};
