/* What an interrupt means to the thread of the program that it came upon. */
#include <process/process.h>

void interrupt_return(struct trap_frame *frame)
{
	thread_interrupted();
	if (signal_is_ready(current_thread))
		signal_deliver(frame, false);
}
