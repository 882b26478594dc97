/* Names of AF_UNIX sockets: paths of nodes in a file system, and abstract ones. */
#include <calypso/lib.h>
#include <file/path.h>
#include <file/permission.h>
#include <net/unix/unix.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

/* Those bound to a name, by the path's node or by a hash of the abstract name. */
static struct unix_socket *buckets[64];

int unix_check_address(const struct socket_address *address)
{
	bool fits = address->length > PATH_OFFSET && address->length <= sizeof(address->un);
	return fits && address->family == AF_UNIX ? 0 : -EINVAL;
}

static bool is_abstract(const struct socket_address *address)
{
	return address->un.sun_path[0] == '\0';
}

/* ---- Who is bound ---- */

static struct unix_socket **bucket_of_node(const struct file *node)
{
	return &buckets[(uintptr_t)node / sizeof(*node) % ARRAY_SIZE(buckets)];
}

static struct unix_socket **bucket_of_name(const struct socket_address *address)
{
	uint32_t hash = 0;
	for (uint32_t i = PATH_OFFSET; i < address->length; i++)
		hash = hash * 31 + address->bytes[i];
	return &buckets[hash % ARRAY_SIZE(buckets)];
}

static struct unix_socket *find_by_node(const struct file *node)
{
	struct unix_socket *found = *bucket_of_node(node);
	while (found != NULL && found->node != node)
		found = found->next_bound;
	return found;
}

/* Sockets of different types may have the same abstract name. */
static struct unix_socket *find_by_name(const struct socket_address *address, int type)
{
	struct unix_socket *found = *bucket_of_name(address);
	for (; found != NULL; found = found->next_bound) {
		if (found->node == NULL && found->socket.type == type &&
		    found->name->length == address->length &&
		    memcmp(found->name->path, address->un.sun_path, address->length - PATH_OFFSET) == 0)
			break;
	}
	return found;
}

static void enter(struct unix_socket *socket, struct unix_socket **bucket)
{
	socket->bound = bucket;
	socket->next_bound = *bucket;
	*bucket = socket;
}

void unix_unbind(struct unix_socket *socket)
{
	if (socket->bound == NULL)
		return;
	struct unix_socket **link = socket->bound;
	while (*link != socket)
		link = &(*link)->next_bound;
	*link = socket->next_bound;
	socket->bound = NULL;
}

void unix_free_name(struct unix_socket *socket)
{
	if (socket->name != NULL && --socket->name->references == 0)
		kfree(socket->name);
	file_put(socket->node);
}

void unix_copy_name(const struct unix_socket *socket, struct socket_address *address)
{
	const struct unix_name *name = socket->name;
	address->family = AF_UNIX;
	address->length = PATH_OFFSET;
	if (name == NULL)
		return;
	address->length = name->length;
	memcpy(address->bytes + PATH_OFFSET, name->path, name->length - PATH_OFFSET);
}

/* ---- Paths ---- */

/* The path of an address, which need not have a NUL, in `path`; its length. */
static size_t copy_path(const struct socket_address *address, char path[UNIX_PATH_MAX + 1])
{
	size_t length = strnlen(address->un.sun_path, address->length - PATH_OFFSET);
	memcpy(path, address->un.sun_path, length);
	path[length] = '\0';
	return length;
}

static struct unix_name *make_name(const char *path, size_t length)
{
	struct unix_name *name = kcalloc(1, sizeof(*name));
	if (name == NULL)
		return NULL;
	name->references = 1;
	name->length = (uint32_t)(PATH_OFFSET + length);
	memcpy(name->path, path, length);
	return name;
}

static int make_node(const struct unix_socket *socket, const char *path, struct file **node)
{
	struct path_walk walk;
	struct file *there;
	int error = path_begin(&walk, file_context(), NULL, path);
	if (error != 0)
		return error;
	error = path_last(&walk, PATH_ENTRY, &there);
	if (error == 0) {
		file_put(there);
		error = -EADDRINUSE;
	} else if (walk.absent && !walk.trailing_slash) {
		struct creation what = {.mode = socket->socket.file.mode};
		error = socket->name != NULL ? -EINVAL : path_create(&walk, &what, node);
	}
	path_end(&walk);
	return error;
}

static int bind_to_path(struct unix_socket *socket, const struct socket_address *address)
{
	char path[UNIX_PATH_MAX + 1];
	size_t length = copy_path(address, path);
	struct file *node;
	struct unix_name *name = make_name(path, length + 1);
	if (name == NULL)
		return -ENOMEM;
	int error = make_node(socket, path, &node);
	if (error != 0) {
		kfree(name);
		return error;
	}
	socket->name = name;
	socket->node = node;
	enter(socket, bucket_of_node(socket->node));
	return 0;
}

/* ---- Abstract names ---- */

static int bind_to_name(struct unix_socket *socket, const struct socket_address *address)
{
	if (socket->name != NULL)
		return -EINVAL;
	if (find_by_name(address, socket->socket.type) != NULL)
		return -EADDRINUSE;
	socket->name = make_name(address->un.sun_path, address->length - PATH_OFFSET);
	if (socket->name == NULL)
		return -ENOMEM;
	enter(socket, bucket_of_name(address));
	return 0;
}

int unix_bind_automatically(struct unix_socket *socket)
{
	static uint32_t last;
	const uint32_t numbers = 1u << 20; /* five digits */
	if (socket->name != NULL)
		return 0;
	for (uint32_t tried = 0; tried < numbers; tried++) {
		struct socket_address address = {.family = AF_UNIX, .length = PATH_OFFSET + 6};
		last = (last + 1) % numbers;
		snprintf(address.un.sun_path + 1, 6, "%05x", last);
		int error = bind_to_name(socket, &address);
		if (error != -EADDRINUSE)
			return error;
	}
	return -ENOSPC;
}

int unix_bind_for_credentials(struct unix_socket *socket)
{
	bool wanted = (socket->socket.flags & SOCKET_PASS_CREDENTIALS) != 0;
	return wanted ? unix_bind_automatically(socket) : 0;
}

/* ---- Binding and finding ---- */

int unix_bind(struct socket *socket, const struct socket_address *address)
{
	struct unix_socket *self = unix_of(socket);
	if (address->length == PATH_OFFSET && address->family == AF_UNIX)
		return unix_bind_automatically(self);
	int error = unix_check_address(address);
	if (error != 0)
		return error;
	return is_abstract(address) ? bind_to_name(self, address) : bind_to_path(self, address);
}

static int find_at_path(const struct socket_address *address, int type, struct unix_socket **found)
{
	char path[UNIX_PATH_MAX + 1];
	copy_path(address, path);
	struct file *node;
	int error = path_find(file_context(), NULL, path, PATH_FOLLOW, &node);
	if (error != 0)
		return error;
	error = permission_check(node, MAY_WRITE);
	*found = error == 0 ? find_by_node(node) : NULL;
	file_put(node);
	if (*found == NULL)
		return error != 0 ? error : -ECONNREFUSED;
	return (*found)->socket.type == type ? 0 : -EPROTOTYPE;
}

int unix_find(const struct socket_address *address, int type, struct unix_socket **found)
{
	int error = 0;
	if (!is_abstract(address))
		error = find_at_path(address, type, found);
	else if ((*found = find_by_name(address, type)) == NULL)
		error = -ECONNREFUSED;
	if (error == 0)
		socket_get(&(*found)->socket);
	return error;
}
