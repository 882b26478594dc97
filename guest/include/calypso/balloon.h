/* The memory balloon: what the host asks back of the guest's RAM. */
#ifndef CALYPSO_BALLOON_H
#define CALYPSO_BALLOON_H

/* Serve the balloon from now on, if there is one. */
void balloon_start(void);

#endif
