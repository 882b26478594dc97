/* What an architecture gives to the rest of the kernel. `guest/arch/<name>/include/arch/` holds
 * files of the same names for each; nothing outside `guest/arch/` asks which one it is.
 *
 *   <arch/constants.h>  names and numbers: ARCH_MACHINE ("x86_64"), ARCH_ELF_MACHINE, ...
 *   <arch/layout.h>     the kernel's virtual memory map: DIRECT_MAP_BASE, USER_END, ...
 *   <arch/frame.h>      struct trap_frame and its accessors
 *   <arch/context.h>    struct fp_state, and what saves and restores it
 *   <arch/cpu.h>        short inline instructions: counter, pause, doorbell
 *
 * The accessors of <arch/frame.h>:
 *
 *   uint64_t frame_pc(const struct trap_frame *)        program counter; also _set_pc
 *   uint64_t frame_sp(const struct trap_frame *)        stack pointer; also _set_sp
 *   bool frame_is_user(const struct trap_frame *)       came from the program
 *   uint64_t frame_syscall_number(const struct trap_frame *)
 *   const uint64_t *frame_syscall_arguments(const struct trap_frame *)    six of them
 *   void frame_restart_syscall(struct trap_frame *)     go back to the instruction that made it
 *   int64_t frame_result(const struct trap_frame *)
 *   void frame_set_result(struct trap_frame *, int64_t)
 */
#ifndef CALYPSO_ARCH_H
#define CALYPSO_ARCH_H

#include <arch/constants.h>
#include <arch/cpu.h>
#include <arch/layout.h>
#include <calypso/auxsp.h>
#include <calypso/mm.h>
#include <calypso/types.h>

/* ---- Given by the architecture ---- */

/* Enter the program with all registers zero but pc and stack pointer. The kernel is entered again on
 * the auxiliary stack from `auxsp` on. */
noreturn void arch_enter_user(user_t pc, user_t sp, void *auxsp);

/* Enter the kernel at `auxsp` from now on. */
void arch_set_auxsp(void *auxsp);

/* What goes on first on an auxiliary stack: the return to the program by the registers that its control
 * block holds. Gives the context for arch_switch. */
void *arch_make_context(struct auxspcb *auxspcb);

/* A new thread of the kernel on its stack: switching to it enters `entry`, which never returns. */
void *arch_make_kernel_context(struct auxspcb *auxspcb, void (*entry)(void));

/* Store where the running thread of the kernel is, and go on where another one was. */
void arch_switch(void **save, void *context);

/* Below this address of the interrupted program's stack nothing is in use. */
user_t arch_signal_room(const struct trap_frame *frame);

/* Bytes that a signal's frame takes at most: AT_MINSIGSTKSZ. */
size_t arch_signal_size(void);

/* The program's thread pointer: FS base, TPIDR_EL0. */
uint64_t arch_thread_pointer(void);
void arch_set_thread_pointer(uint64_t pointer);

/* arch_prctl(2) of x86_64: 0 or -errno. Elsewhere -EINVAL. */
int64_t arch_prctl(uint64_t code, uint64_t address);

/* AT_HWCAP and AT_HWCAP2 as Linux gives them for this CPU. */
uint64_t arch_hwcap(void);
uint64_t arch_hwcap2(void);

/* What /proc/cpuinfo says of this CPU, in lines. */
struct text;
void arch_describe_processor(struct text *text);

/* Random 64 bits of the CPU (RDRAND, RNDR). False where it has none or it is exhausted. */
bool arch_random(uint64_t *value);

/* Take the interrupt controller and the timer into use, all lines masked: 0 or -errno. */
int arch_irq_initialize(void);

/* Unmask a level-triggered line (see <calypso/irq.h>): 0 or -EINVAL. */
int arch_irq_enable(unsigned line);

/* Interrupt once after `delay` ns, or earlier. An interrupt that was asked for before is off. */
void arch_timer_start(uint64_t delay);

/* Call `act` on another stack. */
void arch_call_on_stack(void *stack_top, void (*act)(uint64_t argument), uint64_t argument);

/* Stop this CPU for good. */
noreturn void arch_halt(void);

/* ---- Asked of the rest of the kernel ---- */

/* Load the program named in bootinfo and enter it. The last step of boot. */
noreturn void program_start(void);

/* One system call of the program. The result is in the frame on return; the frame may have been
 * replaced as a whole (rt_sigreturn) or never be returned to (exit). */
void syscall_dispatch(struct trap_frame *frame);

/* The processor's timer has interrupted. */
void time_alarm_expired(void);

/* An interrupt is over and the program goes on: time for what it has brought about. */
void interrupt_return(struct trap_frame *frame);

/* The program did what nothing in its address space allows. Returns only with the frame changed
 * so that going on makes sense (a signal handler). `address`: data address, or the pc. */
void program_fault(struct trap_frame *frame, enum fault_reason reason, user_t address);

#endif
