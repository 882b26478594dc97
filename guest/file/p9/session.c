/* 9P messages: size[4] kind[1] tag[2], then fields; all numbers are little-endian. */
#include <calypso/lib.h>
#include <file/p9/p9.h>

#define HEADER_LENGTH 7
#define RLERROR_LENGTH (HEADER_LENGTH + 4)

/* Buffers of one transfer: the fields of request and reply, and data. */
#define BUFFERS_MAX (2 + P9_BUFFERS_MAX)

/* ---- Fields ---- */

static void put(struct p9_call *call, const void *bytes, size_t length)
{
	if (length > P9_MESSAGE_ROOM - call->length) {
		call->malformed = true;
		return;
	}
	memcpy(call->request + call->length, bytes, length);
	call->length += (uint32_t)length;
}

void p9_put16(struct p9_call *call, uint16_t value) { put(call, &value, sizeof(value)); }
void p9_put32(struct p9_call *call, uint32_t value) { put(call, &value, sizeof(value)); }
void p9_put64(struct p9_call *call, uint64_t value) { put(call, &value, sizeof(value)); }

void p9_put_string(struct p9_call *call, const char *bytes, size_t length)
{
	p9_put16(call, (uint16_t)length);
	put(call, bytes, length);
}

const char *p9_take_bytes(struct p9_call *call, size_t length)
{
	const uint8_t *bytes = call->reply + call->taken;
	if (length > call->end - call->taken) {
		call->malformed = true;
		return NULL;
	}
	call->taken += (uint32_t)length;
	return (const char *)bytes;
}

static void take(struct p9_call *call, void *value, size_t length)
{
	const char *bytes = p9_take_bytes(call, length);
	if (bytes != NULL)
		memcpy(value, bytes, length);
}

uint16_t p9_take16(struct p9_call *call)
{
	uint16_t value = 0;
	take(call, &value, sizeof(value));
	return value;
}

uint32_t p9_take32(struct p9_call *call)
{
	uint32_t value = 0;
	take(call, &value, sizeof(value));
	return value;
}

uint64_t p9_take64(struct p9_call *call)
{
	uint64_t value = 0;
	take(call, &value, sizeof(value));
	return value;
}

/* ---- Transfers ---- */

void p9_begin(struct p9_call *call, struct p9_session *session, unsigned slot, enum p9_kind kind)
{
	*call = (struct p9_call){
		.session = session,
		.request = session->requests[slot],
		.reply = session->replies[slot],
		.length = sizeof(uint32_t),
	};
	uint8_t byte = (uint8_t)kind;
	put(call, &byte, sizeof(byte));
	p9_put16(call, (uint16_t)slot);
}

static struct virtqueue *queue_of(const struct p9_call *call)
{
	return call->session->device->queues[0];
}

void p9_send_data(struct p9_call *call, const struct virtio_buffer *data, unsigned readable,
		  unsigned writable, uint32_t reply_length)
{
	struct virtio_buffer buffers[BUFFERS_MAX];
	unsigned count = 0;
	uint32_t size = call->length;
	if (call->malformed) {
		call->error = -ENAMETOOLONG;
		return;
	}
	buffers[count++] = (struct virtio_buffer){virt_to_phys(call->request), call->length};
	for (unsigned i = 0; i < readable; i++) {
		buffers[count++] = data[i];
		size += data[i].length;
	}
	memcpy(call->request, &size, sizeof(size));
	buffers[count++] = (struct virtio_buffer){virt_to_phys(call->reply), reply_length};
	for (unsigned i = 0; i < writable; i++)
		buffers[count++] = data[readable + i];
	call->error = virtqueue_submit(queue_of(call), &call->transfer, buffers, 1 + readable,
				       1 + writable);
	call->end = reply_length;
}

void p9_send(struct p9_call *call) { p9_send_data(call, NULL, 0, 0, P9_MESSAGE_ROOM); }

int p9_finish(struct p9_call *call)
{
	if (call->error != 0)
		return call->error;
	virtqueue_kick(queue_of(call));
	call->error = virtqueue_wait(queue_of(call), &call->transfer);
	if (call->error != 0)
		return call->error;
	if (call->transfer.written < call->end)
		call->end = call->transfer.written;
	uint32_t size = p9_take32(call);
	uint8_t kind = 0;
	take(call, &kind, sizeof(kind));
	p9_take16(call);
	if (call->malformed || size > call->transfer.written)
		return call->error = -EIO;
	if (kind == P9_RLERROR) {
		uint32_t number = p9_take32(call);
		return call->error = number == 0 || number > 4095 ? -EIO : -(int)number;
	}
	return call->error = kind == call->request[sizeof(uint32_t)] + 1 ? 0 : -EIO;
}

/* ---- Sessions ---- */

static int agree_on_version(struct p9_session *session)
{
	static const char version[] = "9P2000.L";
	const uint32_t message_max = RLERROR_LENGTH + P9_BUFFERS_MAX * PAGE_SIZE;
	struct p9_call call;
	p9_begin(&call, session, 0, P9_TVERSION);
	p9_put32(&call, message_max);
	p9_put_string(&call, version, sizeof(version) - 1);
	p9_send(&call);
	int error = p9_finish(&call);
	if (error != 0)
		return error;
	bool enough = p9_take32(&call) >= message_max;
	uint16_t length = p9_take16(&call);
	const char *agreed = p9_take_bytes(&call, length);
	bool known = agreed != NULL && length == sizeof(version) - 1 &&
		     memcmp(agreed, version, length) == 0;
	return enough && known ? 0 : -EPROTO;
}

static int attach(struct p9_session *session, uint32_t fid)
{
	struct p9_call call;
	p9_begin(&call, session, 0, P9_TATTACH);
	p9_put32(&call, fid);
	p9_put32(&call, P9_NO_FID); /* no authentication */
	p9_put_string(&call, "root", 4);
	p9_put_string(&call, "", 0);
	p9_put32(&call, 0);
	p9_send(&call);
	return p9_finish(&call);
}

static int make_room(struct p9_session *session)
{
	for (unsigned slot = 0; slot < P9_SLOTS; slot++) {
		session->requests[slot] = kmalloc(P9_MESSAGE_ROOM);
		session->replies[slot] = kmalloc(P9_MESSAGE_ROOM);
		if (session->requests[slot] == NULL || session->replies[slot] == NULL)
			return -ENOMEM;
	}
	return 0;
}

int p9_start(struct p9_session *session, struct virtio_device *device, uint32_t *root)
{
	*session = (struct p9_session){.device = device};
	int error = make_room(session);
	if (error == 0)
		error = virtio_start(device, 0, 1);
	if (error == 0)
		error = agree_on_version(session);
	*root = p9_new_fid(session);
	return error == 0 ? attach(session, *root) : error;
}
