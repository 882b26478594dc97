/* Programs: from a file to the first instruction. Used at boot and by execve. */
#ifndef PROCESS_PROGRAM_H
#define PROCESS_PROGRAM_H

#include <process/elf.h>
#include <process/stack.h>

/* A program on its way: the file and, for dynamic ones, the interpreter that loads the rest. */
struct program {
	struct elf elf;
	struct elf interpreter; /* its file is a reference; NULL: the program is static */
	user_t entry;		/* where to start; set by program_load, with the next */
	user_t sp;
};

/* Find a program's file, and its path without links, from the heap: NULL where there is none to tell. */
int program_find(const char *path, struct file **file, char **resolved);

/* Whether this can be run at all, before anything is given up for it. 0, or an error with the
 * reason in words. program_close is due either way. */
int program_check(struct file *file, struct program *program, const char **problem);

/* Map a checked program into an empty address space, with its stack. */
int program_load(struct program *program, const struct arguments *arguments, const char **problem);

void program_close(struct program *program);

#endif
