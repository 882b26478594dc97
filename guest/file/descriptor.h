/* Descriptors: the small numbers by which a program names its open files. */
#ifndef FILE_DESCRIPTOR_H
#define FILE_DESCRIPTOR_H

#include <file/open_file.h>

struct descriptor {
	struct open_file *open; /* NULL: free */
	bool close_on_exec;
};

#define DESCRIPTORS_AT_FIRST 16

/* Not to be copied: `slots` points into it. */
struct descriptor_table {
	struct descriptor *slots; /* `first`, or from the heap once that is too small */
	unsigned capacity;
	unsigned lowest; /* no slot below is free */
	uint64_t limit;	 /* RLIMIT_NOFILE */
	struct descriptor first[DESCRIPTORS_AT_FIRST];
};

/* A table of one's own: no descriptor is open. */
void descriptors_initialize(struct descriptor_table *table, uint64_t limit);

/* The open file, borrowed from the table, or NULL (-EBADF). */
struct open_file *descriptor_find(const struct descriptor_table *table, int number);

/* Whether one more descriptor can be had: 0, -EMFILE or -ENOMEM. */
int descriptor_check_room(struct descriptor_table *table);

/* Put an open file, with the caller's reference, at the lowest free number >= `minimum`. The
 * number; or -EMFILE, -ENOMEM, and the reference is given back. */
int descriptor_add(struct descriptor_table *table, struct open_file *open, int minimum,
		   bool close_on_exec);

/* Open a file that a call has just made, with its reference, by `flags` (also O_CLOEXEC): the
 * number, or an error, and the file is gone. */
int descriptor_add_file(struct descriptor_table *table, struct file *file, unsigned flags);

/* As descriptor_add at this number (dup2); what was there is closed. Also -EBADF at or over the limit. */
int descriptor_set(struct descriptor_table *table, struct open_file *open, int number,
		   bool close_on_exec);

/* 0 or -EBADF. */
int descriptor_close(struct descriptor_table *table, int number);

/* Close those that are marked to be. */
void descriptors_close_on_exec(struct descriptor_table *table);

/* Close all, and give back what the table took from the heap. */
void descriptors_close_all(struct descriptor_table *table);

/* The slot of an open descriptor, or NULL. */
struct descriptor *descriptor_slot(const struct descriptor_table *table, int number);

#endif
