/* The hardware random number generator: one data register, looked for when it is first asked. */
#include <calypso/bootinfo.h>
#include <calypso/device.h>
#include <calypso/device_tree.h>
#include <calypso/errno.h>
#include <calypso/hwrng.h>
#include <calypso/lib.h>

enum registers {
	ID = 0x00,
	VERSION = 0x04,
	CONTROL = 0x08,
	STATUS = 0x0c,
	DATA = 0x18, /* 64 bits, in two halves of fresh bits each */
	REGISTERS_LENGTH = 0x1000,
};

enum { ID_VALUE = 0x474e5248, LAYOUT = 1 }; /* "HRNG" */
enum { CONTROL_ENABLE = 1 };
enum { STATUS_READY = 1, STATUS_ERROR = 2 };

static physical_t registers;
static bool present;

static void probe(physical_t at)
{
	if (present || device_map(at, REGISTERS_LENGTH) != 0 ||
	    device_read32(at + ID) != ID_VALUE || device_read32(at + VERSION) != LAYOUT)
		return;
	registers = at;
	present = true;
	device_write32(at + CONTROL, CONTROL_ENABLE);
}

static void visit(const struct device_node *node, void *context)
{
	struct device_range range;
	(void)context;
	if (device_node_is(node, "calypso,hwrng") && device_node_range(node, 0, &range))
		probe(range.base);
}

/* The word of a board without a device tree: hwrng.device=SIZE@BASE:IRQ. */
static void probe_word(const char *value, size_t length)
{
	uint64_t size, base;
	(void)length;
	if (parse_number(&value, 0, &size) && *value++ == '@' && parse_number(&value, 0, &base))
		probe(base);
}

static void find(void)
{
	command_line_each("hwrng.device", probe_word);
	if (bootinfo.device_tree != 0)
		device_tree_visit(bootinfo.device_tree, bootinfo.device_tree_length, visit, NULL);
}

int hwrng_read(uint64_t *value)
{
	static bool looked;
	int error = virtio_rng_read(value);
	if (error != -ENODEV)
		return error;
	if (!looked)
		find();
	looked = true;
	if (!present)
		return -ENODEV;
	if ((device_read32(registers + STATUS) & STATUS_READY) == 0)
		return -EAGAIN;
	uint32_t low = device_read32(registers + DATA);
	uint32_t high = device_read32(registers + DATA);
	/* What came when the source had failed is not random. */
	if ((device_read32(registers + STATUS) & STATUS_ERROR) != 0) {
		device_write32(registers + STATUS, STATUS_ERROR);
		return -EIO;
	}
	*value = (uint64_t)high << 32 | low;
	return 0;
}
