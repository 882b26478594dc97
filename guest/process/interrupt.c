/* What an interrupt means to the thread of the program that it came upon. */
#include <process/process.h>
#include <process/rseq.h>

void interrupt_return(struct trap_frame *frame)
{
	if (thread_interrupted())
		rseq_interrupted(frame);
	if (signal_is_ready(current_thread))
		signal_deliver(frame, false);
}
