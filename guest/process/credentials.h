/* How a thread comes by its credentials, and changes them. */
#ifndef PROCESS_CREDENTIALS_H
#define PROCESS_CREDENTIALS_H

#include <file/credentials.h>

struct file;

/* Give what has none the same, and give them back. */
void credentials_share(struct credentials *to, const struct credentials *from);
void credentials_release(struct credentials *of);

/* Make them those of the running thread, with the references that they hold. */
void credentials_set(const struct credentials *new);

/* Let the running thread meet files as those whom it works for, its real user and group; then, with
 * what the first call gave, as itself again. */
struct credentials credentials_use_real(void);
void credentials_put_back(const struct credentials *own);

/* The running thread becomes another program: that may run with its file's owner's rights. */
void credentials_execute(const struct file *program);

#endif
