/* Faults of memory accesses: between the architectures' trap handlers and the address space. */
#ifndef CALYPSO_FAULT_H
#define CALYPSO_FAULT_H

#include <calypso/mm.h>
#include <calypso/text.h>
#include <calypso/types.h>

struct trap_frame;

/* Settle a fault at `address` by what the interrupted code wanted to do there (one of PROT_READ,
 * PROT_WRITE, PROT_EXEC). False where only a panic is left. Otherwise the page is there now, or a
 * copy of the kernel goes on at its landing, or `program_fault` has been told. */
bool fault_resolve(struct trap_frame *frame, uint64_t address, unsigned access);

/* Where the kernel's instruction may fault and has a landing (section `fixups`), go there. */
bool fault_fix(struct trap_frame *frame);

/* Panic with the right words where `address` is in a guard page of a kernel stack. */
void fault_check_stacks(const struct trap_frame *frame, uint64_t address);

/* "read", "write" or "instruction fetch". */
const char *fault_access_name(unsigned access);

/* Make the page at `address` accessible for `access` (of the program's half). */
#define FAULT_RESOLVED (-1)
int space_fault(user_t address, unsigned access); /* FAULT_RESOLVED or enum fault_reason */

/* ---- Given by the architecture ---- */

/* Add the registers of `frame` as lines of text. */
void arch_describe(const struct trap_frame *frame, struct text *text);

#endif
