/* The file system in memory, with the visible behaviour of Linux's tmpfs: order of directory
 * entries, sizes and block counts are the same.
 *
 *   ramfs.c      objects of all types: made, found, released
 *   directory.c  entries: in order of age, by hash in large directories
 *   data.c       content of regular files: own pages over an image that lies elsewhere
 */
#ifndef FILE_RAMFS_RAMFS_H
#define FILE_RAMFS_RAMFS_H

#include <file/file.h>
#include <file/page_map.h>

extern const struct file_system ramfs;

/* A new root directory, or NULL. */
struct file *ramfs_make_root(void);

/* A regular file without a name, as old as the machine, whose content is an image; or NULL. */
struct file *ramfs_make_image(const void *image, uint64_t length, uint32_t permissions);

/* Give an empty regular file content that stays where it is until written. */
void ramfs_set_image(struct file *file, const void *image, uint64_t length);

/* ---- Inside ramfs ---- */

/* As tmpfs counts: "." and "..". */
#define RAMFS_EMPTY_DIRECTORY_SIZE 40

struct ramfs_entry {
	struct ramfs_entry *older, *newer;
	struct ramfs_entry *chain; /* of the same bucket */
	struct file *file;
	uint64_t position; /* grows with each entry that the directory ever had; from 1 */
	uint32_t hash;
	uint32_t length;
	char name[];
};

struct ramfs_directory {
	struct file file;
	struct ramfs_entry *newest;
	struct ramfs_entry **buckets; /* NULL while there are few entries */
	uint32_t bucket_count;	      /* a power of two */
	uint32_t entry_count;
	uint64_t last_position;
};

struct ramfs_regular {
	struct file file;
	struct page_map pages;	/* content where it is not the image's */
	const uint8_t *image;	/* content of the pages not in `pages` */
	uint64_t image_length;	/* at most the file's size; behind it are zeros */
	uint64_t mappings;	/* references that mappings hold: no page may go */
	struct page_source private_source, shared_source;
};

struct ramfs_link {
	struct file file; /* its size is the target's length */
	char target[];
};

extern const struct file_operations ramfs_directory_operations;
extern const struct file_operations ramfs_regular_operations;

/* Make a file of any type that has no name yet, or NULL. */
struct file *ramfs_make(const struct creation *what, int64_t now);

/* The operation of that name. */
int ramfs_create_nameless(struct file *directory, const struct creation *what, struct file **made);

/* Free what the object holds besides itself. */
void ramfs_directory_clear(struct ramfs_directory *directory);
void ramfs_regular_clear(struct ramfs_regular *regular);

void ramfs_regular_initialize(struct ramfs_regular *regular);

#endif
