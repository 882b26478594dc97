/* ELF programs: checked, and mapped into the program's address space. */
#ifndef PROCESS_ELF_H
#define PROCESS_ELF_H

#include <file/file.h>
#include <uapi/elf.h>

/* An ELF file on its way into memory: elf_open reads and checks it, elf_map maps it. */
struct elf {
	struct file *file; /* borrowed */
	Elf64_Ehdr header;
	Elf64_Phdr *segments; /* all program headers */
	uint64_t start;	      /* of the pages that its segments span, as the file counts */
	uint64_t end;
	uint64_t alignment; /* the largest that a segment asks for */
	user_t base;	    /* what is added to the file's addresses; known once it is mapped */
};

enum elf_role {
	ELF_PROGRAM,	 /* position-independent ones go to the programs' usual place */
	ELF_INTERPRETER, /* goes where there is room */
};

/* Read a file's headers, and check all that is said there. 0, or an error with `*problem` saying in
 * words what is wrong (-ENOEXEC: with the file). elf_close is due either way. */
int elf_open(struct elf *elf, struct file *file, const char **problem);

/* The path of the interpreter that it asks for: from the heap, or NULL for static programs. */
int elf_interpreter(const struct elf *elf, char **path, const char **problem);

/* Map its segments with their rights. After an error, parts may be mapped. */
int elf_map(struct elf *elf, enum elf_role role, const char **problem);

void elf_close(struct elf *elf);

/* Of a mapped file: where it starts, and where its program headers are; 0 where they are not in
 * memory. */
user_t elf_entry(const struct elf *elf);
user_t elf_headers(const struct elf *elf);

#endif
