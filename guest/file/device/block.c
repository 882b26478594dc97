/* Virtio disks as files. There is no cache: what is read or written moves through a buffer between
 * the program and the device, in whole sectors. */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <calypso/user.h>
#include <file/device/block.h>
#include <file/io.h>
#include <file/poll.h>
#include <file/device/request.h>
#include <uapi/fcntl.h>

#define SECTOR 512

/* One request moves at most this much. */
#define BUFFER_ORDER 4
#define BUFFER_SIZE (PAGE_SIZE << BUFFER_ORDER)

/* 5.2.3 */
#define FEATURE_READ_ONLY (1ull << 5)
#define FEATURE_FLUSH (1ull << 9)

/* 5.2.6 */
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4 };
enum { STATUS_OK = 0, STATUS_UNSUPPORTED = 2 };

/* struct virtio_blk_config: capacity comes first. */
#define CONFIG_CAPACITY 0

/* <linux/fs.h> */
#define BLKROGET 0x125e
#define BLKGETSIZE 0x1260
#define BLKFLSBUF 0x1261
#define BLKSSZGET 0x1268
#define BLKPBSZGET 0x127b
#define BLKGETSIZE64 0x80081272

/* What the device reads and writes besides the data; of the heap. */
struct block_request {
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header;
	uint8_t status;
	struct sleeping_request sleeping;
};

static struct virtio_device *device_of(const struct file *file)
{
	return virtio_find(VIRTIO_BLOCK, device_minor(file->device) / BLOCK_MINORS);
}

bool block_exists(unsigned index) { return virtio_find(VIRTIO_BLOCK, index) != NULL; }

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* ---- Requests ---- */

static int result_of(int error, uint8_t status)
{
	if (error != 0 || status == STATUS_OK)
		return error;
	return status == STATUS_UNSUPPORTED ? -EOPNOTSUPP : -EIO;
}

/* `data` is NULL for a flush. */
static int execute(struct virtio_device *device, uint32_t type, uint64_t sector, void *data,
		   uint32_t length)
{
	struct block_request *request = kcalloc(1, sizeof(*request));
	struct virtio_buffer buffers[3];
	unsigned count = 0;
	if (request == NULL)
		return -ENOMEM;
	request->header.type = type;
	request->header.sector = sector;
	request->status = UINT8_MAX;
	buffers[count++] = (struct virtio_buffer){virt_to_phys(&request->header),
						  sizeof(request->header)};
	if (data != NULL)
		buffers[count++] = (struct virtio_buffer){virt_to_phys(data), length};
	buffers[count++] = (struct virtio_buffer){virt_to_phys(&request->status), 1};
	unsigned readable = type == TYPE_IN ? 1 : count - 1;
	int error = request_execute(device->queues[0], &request->sleeping, buffers, readable,
				    count - readable);
	error = result_of(error, request->status);
	kfree(request);
	return error;
}

/* ---- The file ---- */

static int block_open(struct file *file, unsigned flags)
{
	struct virtio_device *device = device_of(file);
	(void)flags;
	if (device == NULL)
		return -ENXIO;
	if (device->queues[0] == NULL) {
		int error = virtio_start(device, FEATURE_READ_ONLY | FEATURE_FLUSH, 1);
		if (error != 0)
			return error;
		virtio_take_interrupts(device);
	}
	if (device->broken)
		return -ENXIO;
	file->size = virtio_config64(device, CONFIG_CAPACITY) * SECTOR;
	return 0;
}

/* A part of a transfer: whole sectors around `length` bytes at `offset`. */
struct span {
	uint64_t sector;
	uint32_t skipped; /* bytes before `offset` in the first sector */
	uint32_t bytes;	  /* of the sectors */
};

static struct span span_of(uint64_t offset, uint64_t length)
{
	uint64_t start = ALIGN_DOWN(offset, SECTOR);
	uint64_t end = ALIGN_UP(offset + length, SECTOR);
	return (struct span){start / SECTOR, (uint32_t)(offset - start), (uint32_t)(end - start)};
}

static int read_span(struct file *file, struct io *io, struct span span, uint64_t length,
		     uint8_t *buffer)
{
	int error = execute(device_of(file), TYPE_IN, span.sector, buffer, span.bytes);
	return error == 0 ? io_put(io, buffer + span.skipped, length) : error;
}

/* Writes under way. One of parts of sectors reads these first: what others would write meanwhile it
 * would undo. */
static struct {
	unsigned whole;
	bool partial;
	struct poll_state ended;
} writes;

static int begin_write(bool partial)
{
	while (writes.partial || (partial && writes.whole > 0)) {
		int error = poll_wait_for(&writes.ended, POLLOUT, TIME_FOREVER);
		if (error != 0)
			return error;
	}
	writes.partial = partial;
	writes.whole += !partial;
	return 0;
}

static void end_write(bool partial)
{
	writes.partial = false;
	writes.whole -= !partial;
	poll_notify(&writes.ended, POLLOUT);
}

static int write_span(struct file *file, struct io *io, struct span span, uint64_t length,
		      uint8_t *buffer)
{
	bool partial = length < span.bytes;
	int error = begin_write(partial);
	if (error != 0)
		return error;
	/* What the first and the last sector have besides stays. */
	if (partial)
		error = execute(device_of(file), TYPE_IN, span.sector, buffer, span.bytes);
	struct io before = *io;
	if (error == 0)
		error = io_take(io, buffer + span.skipped, length);
	if (error == 0)
		error = execute(device_of(file), TYPE_OUT, span.sector, buffer, span.bytes);
	if (error != 0)
		*io = before;
	end_write(partial);
	return error;
}

typedef int transfer_span(struct file *file, struct io *io, struct span span, uint64_t length,
			  uint8_t *buffer);

static int transfer(struct file *file, struct io *io, uint64_t offset, transfer_span *act)
{
	physical_t frames = frame_allocate(BUFFER_ORDER, 0);
	int error = 0;
	if (frames == FRAME_NONE)
		return -ENOMEM;
	while (error == 0 && io->remaining > 0 && offset < file->size) {
		uint64_t room = BUFFER_SIZE - offset % SECTOR;
		uint64_t length = smaller(smaller(io->remaining, room), file->size - offset);
		error = act(file, io, span_of(offset, length), length, phys_to_virt(frames));
		offset += length;
	}
	frame_free(frames, BUFFER_ORDER);
	return error;
}

static int block_read(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	(void)flags;
	return transfer(file, io, offset, read_span);
}

static int block_sync(struct file *file)
{
	struct virtio_device *device = device_of(file);
	/* A device without the feature has no cache that could be lost. */
	if ((device->features & FEATURE_FLUSH) == 0)
		return 0;
	return execute(device, TYPE_FLUSH, 0, NULL, 0);
}

static int block_write(struct file *file, struct io *io, uint64_t offset, unsigned flags)
{
	if ((device_of(file)->features & FEATURE_READ_ONLY) != 0)
		return -EPERM;
	if (offset >= file->size && io->remaining > 0)
		return -ENOSPC;
	int error = transfer(file, io, offset, write_span);
	if (error == 0 && (flags & (O_SYNC | O_DSYNC)) != 0)
		error = block_sync(file);
	return error;
}

static int64_t put_int(user_t address, int32_t value)
{
	return user_put(address, &value);
}

static int64_t put_long(user_t address, uint64_t value)
{
	return user_put(address, &value);
}

static int64_t block_control(struct file *file, unsigned request, user_t argument)
{
	switch (request) {
	case BLKGETSIZE64:
		return put_long(argument, file->size);
	case BLKGETSIZE:
		return put_long(argument, file->size / SECTOR);
	case BLKSSZGET:
	case BLKPBSZGET:
		return put_int(argument, SECTOR);
	case BLKROGET:
		return put_int(argument, (device_of(file)->features & FEATURE_READ_ONLY) != 0);
	case BLKFLSBUF:
		return block_sync(file);
	default:
		return -ENOTTY;
	}
}

const struct file_operations block_operations = {
	.read = block_read,
	.write = block_write,
	.control = block_control,
	.open = block_open,
	.sync = block_sync,
};
