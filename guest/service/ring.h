/* The guest's end of the service ring. */
#ifndef SERVICE_RING_H
#define SERVICE_RING_H

#include <calypso/abi.h>
#include <calypso/types.h>

/* Find the ring and check it. False where there is none to use. */
bool ring_attach(void);

/* Let the host use it: the guest serves these features. */
void ring_open(uint64_t features);

/* Whether ring_open was called. */
bool ring_is_open(void);

/* Whether there is a submission to take. */
bool ring_is_waiting(void);

/* Take the next submission. False: there is none, or the host must first read completions. */
bool ring_take(struct calypso_submission *submission);

void ring_complete(uint64_t tag, int64_t result);

/* Whether there are completions that the host has not read. */
bool ring_has_news(void);

/* Map the window into the program's half. 0 or -ENOMEM. */
int ring_map_window(void);

#endif
