/* arm64: identification registers for the program, which the kernel reads in its place, as Linux does
 * (Documentation/arch/arm64/cpu-feature-registers.rst): Go's and others' run-time systems ask them
 * for the processor's features.
 */
#include <arch/identification.h>
#include <arch/registers.h>
#include <calypso/user.h>

/* MRS <Xt>, S3_0_C0_C<m>_<op2> (Arm ARM, C6.2.240). */
#define MRS_IDENTIFICATION 0xd5380000u
#define MRS_IDENTIFICATION_MASK 0xfffff800u
#define REGISTER(m, op2) ((m) << 3 | (op2))
#define ZERO_REGISTER 31

/* Fields that programs are shown; others read as zero. */
#define ISAR0_SHOWN 0xf0fffffff0fffff0u
#define PFR0_FP_ASIMD 0x0000000000ff0000u
#define PFR0_EL0_AARCH64 1u

#define MPIDR_RES1 (1ull << 31)

static uint64_t value_of(unsigned number)
{
	switch (number) {
	case REGISTER(0, 0): /* MIDR_EL1 */
		return read_register("midr_el1");
	case REGISTER(0, 5): /* MPIDR_EL1 */
		return MPIDR_RES1;
	case REGISTER(4, 0): /* ID_AA64PFR0_EL1 */
		return (read_register("id_aa64pfr0_el1") & PFR0_FP_ASIMD) | PFR0_EL0_AARCH64;
	case REGISTER(6, 0): /* ID_AA64ISAR0_EL1 */
		return read_register("id_aa64isar0_el1") & ISAR0_SHOWN;
	default:
		return 0;
	}
}

bool identification_read(struct trap_frame *frame)
{
	uint32_t instruction;
	if (user_get(&instruction, frame->pc) != 0 ||
	    (instruction & MRS_IDENTIFICATION_MASK) != MRS_IDENTIFICATION)
		return false;
	unsigned to = instruction & 0x1f, number = instruction >> 5 & 0x3f;
	if (to != ZERO_REGISTER)
		frame->x[to] = value_of(number);
	frame->pc += sizeof(instruction);
	return true;
}
