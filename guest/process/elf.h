/* ELF programs: checked, and mapped into the program's address space. */
#ifndef PROCESS_ELF_H
#define PROCESS_ELF_H

#include <file/file.h>
#include <uapi/elf.h>

/* What the loaded file is to those who start it. */
struct elf_image {
	user_t entry;
	user_t base; /* what was added to the file's addresses */
	user_t end;  /* behind its last byte */
	user_t headers; /* where its program headers are; 0 where they are not loaded */
	uint16_t header_count;
};

enum elf_role {
	ELF_PROGRAM,	 /* position-independent ones go to the programs' usual place */
	ELF_INTERPRETER, /* goes where there is room */
};

/* Look whether a file can be loaded, and for the path of its interpreter: from the heap, or NULL for
 * static programs. 0, or an error with `*problem` saying in words what is wrong. */
int elf_check(struct file *file, char **interpreter, const char **problem);

/* Check, and map the segments of `file` with their rights. After an error, parts may be mapped. */
int elf_load(struct file *file, enum elf_role role, struct elf_image *image, const char **problem);

#endif
