/* x86_64: the system registers of a context: the bases that its FS and GS add. The kernel uses
 * neither, so what is there is the program's also while the kernel runs. */
#ifndef ARCH_SYSCTX_H
#define ARCH_SYSCTX_H

#include <arch/x86.h>

struct sysctx {
	uint64_t fs_base; /* the thread pointer */
	uint64_t gs_base;
};

static inline void sysctx_store(struct sysctx *sysctx)
{
	sysctx->fs_base = read_msr(MSR_FS_BASE);
	sysctx->gs_base = read_msr(MSR_GS_BASE);
}

static inline void sysctx_load(const struct sysctx *sysctx)
{
	write_msr(MSR_FS_BASE, sysctx->fs_base);
	write_msr(MSR_GS_BASE, sysctx->gs_base);
}

static inline void sysctx_set_thread_pointer(struct sysctx *sysctx, uint64_t pointer)
{
	sysctx->fs_base = pointer;
}

#endif
