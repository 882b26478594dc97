/* Interrupts: which handler a line has, and the stack on which handlers run. */
#include <calypso/arch.h>
#include <calypso/errno.h>
#include <calypso/irq.h>
#include <calypso/stack.h>

struct irq {
	struct irq *next;
	unsigned line;
	irq_handler *handler;
	void *argument;
};

static struct irq *registered;
static struct stack *stack;

int irq_initialize(void)
{
	if (stack != NULL)
		return 0;
	struct stack *made = stack_allocate("interrupt", 0);
	if (made == NULL)
		return -ENOMEM;
	int error = arch_irq_initialize();
	if (error != 0) {
		stack_free(made);
		return error;
	}
	stack = made;
	return 0;
}

int irq_register(unsigned line, irq_handler *handler, void *argument)
{
	int error = irq_initialize();
	struct irq *irq = error != 0 ? NULL : kmalloc(sizeof(*irq));
	if (irq == NULL)
		return error != 0 ? error : -ENOMEM;
	*irq = (struct irq){registered, line, handler, argument};
	registered = irq;
	error = arch_irq_enable(line);
	if (error != 0) {
		registered = irq->next;
		kfree(irq);
	}
	return error;
}

void irq_call(void (*act)(uint64_t argument), uint64_t argument)
{
	arch_call_on_stack((void *)(uintptr_t)stack->top, act, argument);
}

void irq_handle(unsigned line)
{
	for (const struct irq *irq = registered; irq != NULL; irq = irq->next) {
		if (irq->line == line)
			irq->handler(irq->argument);
	}
}
