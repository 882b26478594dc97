/* Files of the host: found, opened, changed, released; and mounted. */
#include <calypso/lib.h>
#include <calypso/log.h>
#include <file/device/device.h>
#include <file/p9/p9fs.h>
#include <uapi/fcntl.h>

#define V9FS_MAGIC 0x01021997

/* Files open on the host at once: it has a limit of its own, and the VMM one for all it does. */
#define OPEN_MAX 256

/* st_dev of the first one; others follow. */
#define DEVICE_FIRST 32

/* ---- By identity ---- */

static struct p9_file **bucket_of(struct p9_file_system *mount, uint64_t identity)
{
	return &mount->buckets[(identity ^ identity >> 8) % P9FS_BUCKETS];
}

static struct p9_file *find(struct p9_file_system *mount, uint64_t identity)
{
	struct p9_file *file = *bucket_of(mount, identity);
	while (file != NULL && file->file.number != identity)
		file = file->chain;
	return file;
}

/* Another file of the host may have its identity from now on. */
static void forget_identity(struct p9_file *file)
{
	struct p9_file **link = bucket_of(file->mount, file->file.number);
	while (*link != NULL && *link != file)
		link = &(*link)->chain;
	if (*link != NULL)
		*link = file->chain;
}

/* ---- Open on the host ---- */

static struct {
	struct p9_file *newest, *oldest;
	unsigned count;
} opened;

static void remove_opened(struct p9_file *file)
{
	if (file->newer != NULL)
		file->newer->older = file->older;
	else
		opened.newest = file->older;
	if (file->older != NULL)
		file->older->newer = file->newer;
	else
		opened.oldest = file->newer;
	opened.count--;
}

static void add_opened(struct p9_file *file)
{
	file->newer = NULL;
	file->older = opened.newest;
	if (opened.newest != NULL)
		opened.newest->newer = file;
	else
		opened.oldest = file;
	opened.newest = file;
	opened.count++;
}

void p9fs_close(struct p9_file *file)
{
	if (file->opened == P9_NO_FID)
		return;
	remove_opened(file);
	p9_clunk(p9_session_of(file), file->opened);
	file->opened = P9_NO_FID;
	file->writable = false;
}

/* Close what was not used for the longest, and can be opened again. */
static void make_room(void)
{
	struct p9_file *file = opened.oldest;
	while (file != NULL && file->nameless)
		file = file->newer;
	if (file != NULL)
		p9fs_close(file);
}

void p9fs_opened(struct p9_file *file, uint32_t fid)
{
	p9fs_close(file);
	file->opened = fid;
	file->writable = true;
	add_opened(file);
}

int p9fs_open(struct p9_file *file, bool writable)
{
	if (file->opened != P9_NO_FID && (file->writable || !writable)) {
		remove_opened(file);
		add_opened(file);
		return 0;
	}
	if (file->nameless)
		return -EIO;
	uint32_t fid;
	if (opened.count >= OPEN_MAX)
		make_room();
	int error = p9_open(p9_session_of(file), file->fid, writable ? O_RDWR : O_RDONLY, &fid);
	if (error != 0)
		return error;
	p9fs_opened(file, fid);
	file->writable = writable;
	return 0;
}

void p9fs_before_unlink(struct p9_file *file)
{
	/* One reference is the caller's, one that of the name. */
	if (S_ISREG(file->file.mode) && file->file.references > 2)
		p9fs_open(file, false);
}

void p9fs_unlinked(struct p9_file *file)
{
	bool is_directory = S_ISDIR(file->file.mode);
	file->file.links = is_directory || file->file.links == 0 ? 0 : file->file.links - 1;
	file->stale = file->file.links > 0;
	file->nameless = file->file.links == 0;
	if (file->nameless)
		forget_identity(file);
}

/* ---- Attributes ---- */

static void set_attributes(struct file *file, const struct p9_attributes *attributes)
{
	file->mode = attributes->mode;
	file->links = (uint32_t)attributes->links;
	file->user = attributes->user;
	file->group = attributes->group;
	file->device = attributes->device;
	file->size = attributes->size;
	file->blocks = attributes->blocks;
	file->accessed = attributes->accessed;
	file->modified = attributes->modified;
	file->changed = file->created = attributes->changed;
}

void p9fs_refresh(struct file *file)
{
	struct p9_file *own = p9_file_of(file);
	struct p9_attributes attributes;
	if (!own->stale)
		return;
	uint32_t fid = own->opened != P9_NO_FID ? own->opened : own->fid;
	if (p9_getattr(p9_session_of(own), fid, &attributes) != 0)
		return;
	set_attributes(file, &attributes);
	own->stale = false;
}

int p9fs_change(struct file *file, const struct file_change *change)
{
	struct p9_file *own = p9_file_of(file);
	struct p9_change wanted = {
		.what = ((change->what & FILE_CHANGE_MODE) != 0 ? P9_SET_MODE : 0) |
			((change->what & FILE_CHANGE_USER) != 0 ? P9_SET_USER : 0) |
			((change->what & FILE_CHANGE_GROUP) != 0 ? P9_SET_GROUP : 0) |
			((change->what & FILE_CHANGE_ACCESSED) != 0 ? P9_SET_ACCESSED : 0) |
			((change->what & FILE_CHANGE_MODIFIED) != 0 ? P9_SET_MODIFIED : 0),
		.mode = change->mode,
		.user = change->user,
		.group = change->group,
		.accessed = change->accessed,
		.modified = change->modified,
	};
	own->stale = true;
	return p9_setattr(p9_session_of(own), own->fid, &wanted);
}

int p9fs_sync(struct file *file)
{
	struct p9_file *own = p9_file_of(file);
	int error = p9fs_open(own, false);
	return error == 0 ? p9_fsync(p9_session_of(own), own->opened) : error;
}

static int p9fs_space(struct file *file, struct file_space *space)
{
	struct p9_file *own = p9_file_of(file);
	return p9_statfs(p9_session_of(own), own->fid, space);
}

/* ---- The object ---- */

static const struct file_operations *operations_of(const struct p9_attributes *attributes)
{
	switch (attributes->mode & S_IFMT) {
	case S_IFDIR:
		return &p9fs_directory_operations;
	case S_IFREG:
		return &p9fs_regular_operations;
	case S_IFLNK:
		return &p9fs_link_operations;
	default:
		return device_operations(attributes->mode, attributes->device);
	}
}

static struct p9_file *make(struct p9_file_system *mount, uint32_t fid,
			    const struct p9_attributes *attributes)
{
	struct p9_file *file = kcalloc(1, sizeof(*file));
	if (file == NULL)
		return NULL;
	file_initialize(&file->file, &mount->system, operations_of(attributes), attributes->mode, 0);
	set_attributes(&file->file, attributes);
	file->file.number = attributes->identity.path;
	file->mount = mount;
	file->fid = fid;
	file->opened = P9_NO_FID;
	struct p9_file **bucket = bucket_of(mount, file->file.number);
	file->chain = *bucket;
	*bucket = file;
	return file;
}

static void release(struct file *file)
{
	struct p9_file *own = p9_file_of(file);
	p9_names_forget(own);
	p9_pages_forget(own);
	p9fs_close(own);
	p9_clunk(p9_session_of(own), own->fid);
	forget_identity(own);
	kfree(own);
}

int p9fs_found(struct p9_file *directory, uint32_t fid, const struct p9_attributes *attributes,
	       struct file **found)
{
	struct p9_file_system *mount = directory->mount;
	struct p9_file *known = find(mount, attributes->identity.path);
	if (known != NULL) {
		p9_clunk(&mount->session, fid);
		*found = file_get(&known->file);
		return 0;
	}
	struct p9_file *file = make(mount, fid, attributes);
	if (file == NULL) {
		p9_clunk(&mount->session, fid);
		return -ENOMEM;
	}
	if (S_ISDIR(attributes->mode))
		file->file.parent = file_get(&directory->file);
	*found = &file->file;
	return 0;
}

/* ---- Mounting ---- */

/* The configuration space: length[2], then the tag. */
#define CONFIG_TAG 2

int p9fs_tag(unsigned index, char *tag, size_t size)
{
	const struct virtio_device *device = virtio_find(VIRTIO_9P, index);
	if (device == NULL)
		return -ENODEV;
	unsigned length = virtio_config8(device, 0) | (unsigned)virtio_config8(device, 1) << 8;
	for (unsigned i = 0; i < length && i + 1 < size; i++)
		tag[i] = (char)virtio_config8(device, CONFIG_TAG + i);
	tag[length < size ? length : size - 1] = '\0';
	return (int)length;
}

static struct virtio_device *find_device(const char *tag, size_t length)
{
	char found[NAME_MAX + 1];
	int found_length;
	for (unsigned i = 0; (found_length = p9fs_tag(i, found, sizeof(found))) >= 0; i++) {
		if ((size_t)found_length == length && memcmp(found, tag, length) == 0)
			return virtio_find(VIRTIO_9P, i);
	}
	return NULL;
}

static struct file *make_root(struct p9_file_system *mount, struct virtio_device *device)
{
	uint32_t fid, opened_fid;
	struct p9_attributes attributes;
	int error = p9_start(&mount->session, device, &fid);
	if (error == 0)
		error = p9_getattr(&mount->session, fid, &attributes);
	struct p9_file *root = error == 0 ? make(mount, fid, &attributes) : NULL;
	if (root == NULL) {
		log_error("9p: the host's directory cannot be used: error %d", -error);
		return NULL;
	}
	/* A directory is not opened for writing anywhere; one of a read-only tree even less so. */
	error = p9_open(&mount->session, fid, O_RDWR, &opened_fid);
	mount->system.read_only = error == -EROFS;
	root->file.parent = &root->file;
	return &root->file;
}

struct file *p9fs_mount(const char *tag, size_t length)
{
	static uint64_t devices = DEVICE_FIRST;
	struct virtio_device *device = find_device(tag, length);
	struct p9_file_system *mount = device == NULL ? NULL : kcalloc(1, sizeof(*mount));
	if (mount == NULL)
		return NULL;
	mount->system = (struct file_system){
		.name = "9p",
		.device = devices++,
		.magic = V9FS_MAGIC,
		.release = release,
		.space = p9fs_space,
	};
	return make_root(mount, device);
}
