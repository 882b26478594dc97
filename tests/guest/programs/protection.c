/* What a program may not do with memory: each attempt, and the signal that answers it. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096

static sigjmp_buf way_back;
static volatile siginfo_t seen;

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	seen = *info;
	siglongjmp(way_back, 1);
}

static void read_byte(uintptr_t address) { (void)*(volatile char *)address; }
static void write_byte(uintptr_t address) { *(volatile char *)address = 1; }
static void execute(uintptr_t address) { ((void (*)(void))address)(); }

/* Where an access has no address (a general protection fault), Linux tells 0. */
static void attempt(const char *what, void (*act)(uintptr_t), uintptr_t address)
{
	if (sigsetjmp(way_back, 1) != 0) {
		printf("%s: signal %d, code %d, address %s\n", what, seen.si_signo, seen.si_code,
		       seen.si_addr == (void *)address ? "of the access"
		       : seen.si_addr == NULL	       ? "none"
						       : "another");
		return;
	}
	act(address);
	printf("%s: allowed\n", what);
}

static void attempt_all(const char *name, uintptr_t address)
{
	static const struct {
		const char *name;
		void (*act)(uintptr_t);
	} acts[] = {{"read", read_byte}, {"write", write_byte}, {"execute", execute}};
	for (unsigned i = 0; i < 3; i++) {
		char what[100];
		snprintf(what, sizeof(what), "%s %s", acts[i].name, name);
		attempt(what, acts[i].act, address);
	}
}

int main(void)
{
	static const char constant[64] = {1};
	static char variable[64];
	char local[64] = {0};
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGILL, &action, NULL);

	attempt_all("page 0", 0x10);
	attempt_all("the rest of the first 64 KiB", 0x8000);
	attempt("read text", read_byte, (uintptr_t)main);
	attempt("write text", write_byte, (uintptr_t)main);
	attempt("read a constant", read_byte, (uintptr_t)constant);
	attempt("write a constant", write_byte, (uintptr_t)constant);
	attempt("execute a constant", execute, (uintptr_t)constant);
	attempt("execute a variable", execute, (uintptr_t)variable);
	attempt("execute the stack", execute, (uintptr_t)local);
	attempt("execute the heap", execute, (uintptr_t)malloc(64));

	char *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(pages, PAGE, PROT_NONE);
	mprotect(pages + PAGE, PAGE, PROT_READ);
	attempt_all("a page without rights", (uintptr_t)pages);
	attempt("read a read-only page", read_byte, (uintptr_t)pages + PAGE);
	attempt("write a read-only page", write_byte, (uintptr_t)pages + PAGE);
	attempt("write the page behind it", write_byte, (uintptr_t)pages + 2 * PAGE);
	munmap(pages, 3 * PAGE);
	attempt_all("a page that is gone", (uintptr_t)pages);

	/* The kernel's half: its image, its memory, its stacks, and nothing at all. */
	attempt("read the kernel's image", read_byte, 0xffff900000100000);
	attempt("write the kernel's image", write_byte, 0xffff900000100000);
	attempt("read the kernel's memory", read_byte, 0xffff900000200000);
	attempt("write the kernel's memory", write_byte, 0xffff900000200000);
	attempt("read the kernel's stacks", read_byte, 0xffffd00000001000);
	attempt("read the end", read_byte, 0xfffffffffffff000);
	attempt("write the end", write_byte, 0xfffffffffffffff0);
	attempt("execute the kernel's memory", execute, 0xffff900000200000);
	return 0;
}
