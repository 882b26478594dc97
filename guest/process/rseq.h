/* Restartable sequences (rseq(2)): instructions of the program that start anew where something comes
 * between them. */
#ifndef PROCESS_RSEQ_H
#define PROCESS_RSEQ_H

struct trap_frame;

/* Another thread has run in between, or a signal's handler is about to: leave a sequence. */
void rseq_interrupted(struct trap_frame *frame);

#endif
