"""Writes ``_ffi.py``, the bindings of the engine's shared library.

Out-of-line ABI mode: cffi parses these declarations once, here, so that neither a compiler is
needed to install nor a parser when a machine starts. Run it as a script, or call `main`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os

MODULE = "vmm.backends.unicorn._ffi"

# The public API, from <unicorn/unicorn.h> of release 2.1.4. Enumerations are plain ints.
PUBLIC_API = """
typedef struct uc_struct uc_engine;
typedef size_t uc_hook;

/* <unicorn/arm64.h>: a system register by encoding, for UC_ARM64_REG_CP_REG. */
typedef struct {
    uint32_t crn, crm, op0, op1, op2;
    uint64_t val;
} uc_arm64_cp_reg;

/* <unicorn/x86.h>: UC_X86_REG_GDTR and friends, UC_X86_REG_MSR. */
typedef struct {
    uint16_t selector;
    uint64_t base;
    uint32_t limit;
    uint32_t flags;
} uc_x86_mmr;
typedef struct {
    uint32_t rid;
    uint64_t value;
} uc_x86_msr;

/* <dlfcn.h>, <link.h>: more fields follow. */
struct link_map {
    uintptr_t l_addr;
    const char *l_name;
    uintptr_t l_ld;
};
void *dlopen(const char *, int);
int dlinfo(void *, int, void *);
int dlclose(void *);

/* A translated block, as the block hook sees it. */
typedef struct {
    uint64_t pc;
    uint16_t icount;
    uint16_t size;
} uc_tb;

typedef uint64_t (*uc_cb_mmio_read_t)(uc_engine *, uint64_t, unsigned, void *);
typedef void (*uc_cb_mmio_write_t)(uc_engine *, uint64_t, unsigned, uint64_t, void *);
typedef void (*uc_cb_hookintr_t)(uc_engine *, uint32_t, void *);
typedef void (*uc_cb_hookblock_t)(uc_engine *, uint64_t, uint32_t, void *);
typedef bool (*uc_cb_eventmem_t)(uc_engine *, int, uint64_t, int, int64_t, void *);
typedef uint32_t (*uc_cb_insn_in_t)(uc_engine *, uint32_t, int, void *);
typedef void (*uc_cb_insn_out_t)(uc_engine *, uint32_t, int, uint32_t, void *);
typedef void (*uc_cb_insn_syscall_t)(uc_engine *, void *);
typedef int (*uc_cb_insn_cpuid_t)(uc_engine *, void *);
typedef uint32_t (*uc_cb_insn_sys_t)(uc_engine *, int, const uc_arm64_cp_reg *, void *);

unsigned uc_version(unsigned *, unsigned *);
const char *uc_strerror(int);
int uc_open(int, int, uc_engine **);
int uc_close(uc_engine *);
int uc_ctl(uc_engine *, int, ...);
int uc_emu_start(uc_engine *, uint64_t, uint64_t, uint64_t, size_t);
int uc_emu_stop(uc_engine *);
int uc_hook_add(uc_engine *, uc_hook *, int, void *, void *, uint64_t, uint64_t, ...);
int uc_hook_del(uc_engine *, uc_hook);
int uc_mem_map_ptr(uc_engine *, uint64_t, uint64_t, uint32_t, void *);
int uc_mmio_map(uc_engine *, uint64_t, uint64_t, uc_cb_mmio_read_t, void *, uc_cb_mmio_write_t,
                void *);
int uc_reg_read(uc_engine *, int, void *);
int uc_reg_write(uc_engine *, int, const void *);
int uc_vmem_translate(uc_engine *, uint64_t, uint32_t, uint64_t *);
int uc_vmem_read(uc_engine *, uint64_t, uint32_t, void *, size_t);
size_t uc_context_size(uc_engine *);
int uc_context_alloc(uc_engine *, void **);
int uc_context_save(uc_engine *, void *);
int uc_context_restore(uc_engine *, void *);
int uc_context_free(void *);
"""

# Functions of the engine's inside which its shared library exports all the same.
PRIVATE_FUNCTIONS = """
void arm_cpu_do_interrupt_aarch64(void *cpu);
void memory_map_io_x86_64(void);

/* See `coherence` */
void qemu_map_ram_ptr_aarch64(void);
void tlb_reset_dirty_aarch64(void);
void tb_invalidate_phys_page_fast_aarch64(void);
void tb_invalidate_phys_range_aarch64(uc_engine *, uint64_t, uint64_t);
void tlb_set_dirty_aarch64(void);
uint64_t qemu_ram_addr_from_host_aarch64(uc_engine *, void *);
void qemu_map_ram_ptr_x86_64(void);
void tlb_reset_dirty_x86_64(void);
void tb_invalidate_phys_page_fast_x86_64(void);
void tb_invalidate_phys_range_x86_64(uc_engine *, uint64_t, uint64_t);
void tlb_set_dirty_x86_64(void);
uint64_t qemu_ram_addr_from_host_x86_64(uc_engine *, void *);
void arm_rebuild_hflags_aarch64(void *env);
void *get_arm_cp_reginfo_aarch64(void *registers, uint32_t encoding);
void define_one_arm_cp_reg_with_opaque_aarch64(void *cpu, const void *reginfo, void *opaque);
void x86_cpu_do_interrupt_x86_64(void *cpu);
void x86_update_hflags_x86_64(void *env);
void cpu_x86_update_cr0_x86_64(void *env, uint32_t value);
void cpu_x86_update_cr3_x86_64(void *env, uint64_t value);
void cpu_x86_update_cr4_x86_64(void *env, uint32_t value);
uint64_t helper_read_eflags_x86_64(void *env);
void helper_write_eflags_x86_64(void *env, uint64_t value, uint32_t mask);
uint8_t cpu_ldub_code_x86_64(void *env, uint64_t address);
void raise_exception_x86_64(void *env, int exception);
void helper_check_iob_x86_64(void *env, uint32_t port);
void helper_check_iow_x86_64(void *env, uint32_t port);
void helper_check_iol_x86_64(void *env, uint32_t port);


/* struct ARMCPRegInfo (target/arm/cpu.h): one system register. */
struct register_info {
    const char *name;
    uint8_t cp, crn, crm, opc0, opc1, opc2;
    int state, type, access, secure;
    uintptr_t opaque;
    uint64_t resetvalue;
    ptrdiff_t fieldoffset, bank_fieldoffsets[2];
    void *accessfn;
    void *readfn, *writefn;
    void *raw_readfn, *raw_writefn, *resetfn, *orig_readfn, *orig_writefn;
};
typedef uint64_t (*register_read_t)(void *env, const struct register_info *info);
typedef void (*register_write_t)(void *env, const struct register_info *info, uint64_t value);
"""

# What machine code of ours calls of the C library, which the engine's depends on.
C_LIBRARY = """
int clock_gettime(int clock, void *time);
"""

DECLARATIONS = PUBLIC_API + PRIVATE_FUNCTIONS + C_LIBRARY


def main(path: str | None = None) -> None:
    """Write the module at ``path``, by default beside this file, unless it is up to date."""
    import cffi

    path = path or os.path.join(os.path.dirname(os.path.abspath(__file__)), "_ffi.py")
    digest = hashlib.sha256(f"{cffi.__version__}\n{DECLARATIONS}".encode()).hexdigest()
    stamp = f"# declarations {digest}\n"
    if _first_line(path) == stamp:
        return
    builder = cffi.FFI()
    builder.set_source(MODULE, None)
    builder.cdef(DECLARATIONS)
    draft = f"{path}.{os.getpid()}"
    with contextlib.redirect_stdout(None):  # it reports progress
        builder.emit_python_code(draft)
    with open(draft) as file:
        code = file.read()
    with open(draft, "w") as file:
        file.write(stamp + code)
    os.replace(draft, path)


def _first_line(path: str) -> str:
    try:
        with open(path) as file:
            return file.readline()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
