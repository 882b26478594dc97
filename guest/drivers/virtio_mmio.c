/* Virtio devices over MMIO (virtio 1.2, section 4.2): found, set up, told. */
#include <calypso/bootinfo.h>
#include <calypso/device.h>
#include <calypso/device_tree.h>
#include <calypso/errno.h>
#include <calypso/irq.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/virtqueue.h>

/* 4.2.2 */
enum registers {
	MAGIC_VALUE = 0x000,
	VERSION = 0x004,
	DEVICE_ID = 0x008,
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SELECT = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SELECT = 0x024,
	QUEUE_SELECT = 0x030,
	QUEUE_SIZE_MAX = 0x034,
	QUEUE_SIZE = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_NOTIFY = 0x050,
	INTERRUPT_STATUS = 0x060,
	INTERRUPT_ACKNOWLEDGE = 0x064,
	STATUS = 0x070,
	QUEUE_DESCRIPTORS = 0x080, /* each of these in two halves, the lower one first */
	QUEUE_DRIVER = 0x090,
	QUEUE_DEVICE = 0x0a0,
	CONFIG_GENERATION = 0x0fc,
	CONFIG = 0x100,
	REGISTERS_LENGTH = 0x200,
};

enum { MAGIC = 0x74726976, LAYOUT = 2 }; /* "virt"; the legacy layout is 1 */

/* 2.1 */
enum status {
	ACKNOWLEDGE = 1,
	DRIVER = 2,
	DRIVER_OK = 4,
	FEATURES_OK = 8,
	NEEDS_RESET = 64,
	FAILED = 128,
};

enum { INTERRUPT_USED = 1, INTERRUPT_CONFIGURATION = 2 };

static struct virtio_device *devices;

static uint32_t read(const struct virtio_device *device, unsigned offset)
{
	return device_read32(device->registers + offset);
}

static void write(const struct virtio_device *device, unsigned offset, uint32_t value)
{
	device_write32(device->registers + offset, value);
}

static void write64(const struct virtio_device *device, unsigned offset, uint64_t value)
{
	write(device, offset, (uint32_t)value);
	write(device, offset + 4, (uint32_t)(value >> 32));
}

/* ---- Finding them ---- */

/* What the board says of a device: look whether there is one, and add it behind the others. */
static void add(physical_t registers, unsigned irq)
{
	struct virtio_device found = {.registers = registers, .irq = irq};
	struct virtio_device **link = &devices;
	if (device_map(registers, REGISTERS_LENGTH) != 0)
		return;
	found.kind = (enum virtio_kind)read(&found, DEVICE_ID);
	if (read(&found, MAGIC_VALUE) != MAGIC || read(&found, VERSION) != LAYOUT ||
	    found.kind == 0)
		return;
	while (*link != NULL)
		link = &(*link)->next;
	*link = kmalloc(sizeof(found));
	if (*link != NULL)
		**link = found;
}

static void visit(const struct device_node *node, void *context)
{
	struct device_range range;
	(void)context;
	if (device_node_is(node, "virtio,mmio") && device_node_range(node, 0, &range))
		add(range.base, device_node_interrupt(node));
}

/* A word as Linux's module virtio_mmio takes it: virtio_mmio.device=SIZE@BASE:IRQ. */
static void add_word(const char *value, size_t length)
{
	const char *at = value;
	uint64_t size, base, irq;
	if (parse_number(&at, 0, &size) && *at++ == '@' && parse_number(&at, 0, &base) &&
	    *at++ == ':' && parse_number(&at, 0, &irq) && at == value + length)
		add(base, (unsigned)irq);
}

static void find_all(void)
{
	command_line_each("virtio_mmio.device", add_word);
	if (bootinfo.device_tree != 0)
		device_tree_visit(bootinfo.device_tree, bootinfo.device_tree_length, visit, NULL);
}

struct virtio_device *virtio_find(enum virtio_kind kind, unsigned index)
{
	static bool looked;
	if (!looked)
		find_all();
	looked = true;
	struct virtio_device *device = devices;
	while (device != NULL && (device->kind != kind || index-- != 0))
		device = device->next;
	return device;
}

/* ---- Setting one up ---- */

static uint64_t offered(const struct virtio_device *device)
{
	write(device, DEVICE_FEATURES_SELECT, 1);
	uint64_t high = read(device, DEVICE_FEATURES);
	write(device, DEVICE_FEATURES_SELECT, 0);
	return high << 32 | read(device, DEVICE_FEATURES);
}

bool virtio_offers(const struct virtio_device *device, uint64_t feature)
{
	return (offered(device) & feature) != 0;
}

static bool negotiate(struct virtio_device *device, uint64_t features)
{
	features |= VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
	device->features = features & offered(device);
	write(device, DRIVER_FEATURES_SELECT, 0);
	write(device, DRIVER_FEATURES, (uint32_t)device->features);
	write(device, DRIVER_FEATURES_SELECT, 1);
	write(device, DRIVER_FEATURES, (uint32_t)(device->features >> 32));
	write(device, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	return (device->features & VIRTIO_F_VERSION_1) != 0 &&
	       (read(device, STATUS) & FEATURES_OK) != 0;
}

/* 4.2.3.2 */
static int set_up_queue(struct virtio_device *device, unsigned index)
{
	write(device, QUEUE_SELECT, index);
	uint32_t size_max = read(device, QUEUE_SIZE_MAX);
	if (size_max == 0)
		return -ENODEV;
	struct virtqueue *queue = virtqueue_create(device, index, size_max);
	if (queue == NULL)
		return -ENOMEM;
	struct virtqueue_areas areas = virtqueue_areas(queue);
	write(device, QUEUE_SIZE, areas.size);
	write64(device, QUEUE_DESCRIPTORS, areas.descriptors);
	write64(device, QUEUE_DRIVER, areas.available);
	write64(device, QUEUE_DEVICE, areas.used);
	write(device, QUEUE_READY, 1);
	device->queues[index] = queue;
	return 0;
}

int virtio_start(struct virtio_device *device, uint64_t features, unsigned queues)
{
	write(device, STATUS, 0);
	write(device, STATUS, ACKNOWLEDGE);
	write(device, STATUS, ACKNOWLEDGE | DRIVER);
	int error = negotiate(device, features) ? 0 : -ENODEV;
	for (unsigned i = 0; i < queues && error == 0; i++)
		error = set_up_queue(device, i);
	write(device, STATUS,
	      error == 0 ? ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK : FAILED);
	if (error != 0)
		log_warning("virtio device %u at 0x%lx: error %d", device->kind, device->registers,
			    -error);
	device->broken = error != 0;
	return error;
}

/* ---- Driving it ---- */

uint8_t virtio_config8(const struct virtio_device *device, unsigned offset)
{
	return device_read8(device->registers + CONFIG + offset);
}

uint32_t virtio_config32(const struct virtio_device *device, unsigned offset)
{
	return read(device, CONFIG + offset);
}

uint64_t virtio_config64(const struct virtio_device *device, unsigned offset)
{
	uint32_t generation;
	uint64_t value;
	/* 2.5.1: both halves of the same configuration. */
	do {
		generation = read(device, CONFIG_GENERATION);
		value = (uint64_t)virtio_config32(device, offset + 4) << 32;
		value |= virtio_config32(device, offset);
	} while (read(device, CONFIG_GENERATION) != generation);
	return value;
}

void virtio_set_config32(const struct virtio_device *device, unsigned offset, uint32_t value)
{
	write(device, CONFIG + offset, value);
}

static bool collect(struct virtio_device *device)
{
	bool any = false;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX && device->queues[i] != NULL; i++) {
		any |= virtqueue_collect(device->queues[i]);
		if (device->broken)
			virtqueue_abandon(device->queues[i]);
	}
	return any;
}

bool virtio_is_alive(struct virtio_device *device)
{
	if (device->broken)
		return false;
	if ((read(device, STATUS) & NEEDS_RESET) == 0)
		return true;
	device->broken = true;
	log_error("virtio device %u at 0x%lx needs a reset", device->kind, device->registers);
	collect(device);
	return false;
}

static void interrupt(void *argument)
{
	struct virtio_device *device = argument;
	uint32_t causes = read(device, INTERRUPT_STATUS);
	write(device, INTERRUPT_ACKNOWLEDGE, causes);
	if ((causes & INTERRUPT_CONFIGURATION) != 0 && virtio_is_alive(device) &&
	    device->on_configuration != NULL)
		device->on_configuration(device);
	collect(device);
}

void virtio_look(void)
{
	for (struct virtio_device *device = devices; device != NULL; device = device->next) {
		if (device->interrupts && collect(device))
			write(device, INTERRUPT_ACKNOWLEDGE, INTERRUPT_USED);
	}
}

void virtio_take_interrupts(struct virtio_device *device)
{
	int error = device->interrupts ? 0 : irq_register(device->irq, interrupt, device);
	if (error != 0)
		log_warning("virtio device %u: no interrupt %u: error %d", device->kind,
			    device->irq, -error);
	device->interrupts = error == 0;
}

void virtio_notify(const struct virtio_device *device, unsigned queue)
{
	write(device, QUEUE_NOTIFY, queue);
}
