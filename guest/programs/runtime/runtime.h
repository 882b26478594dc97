/* What a bundled program has instead of a C library. Its `main` is called with arguments and
 * environment, and its result is the exit status.
 */
#ifndef RUNTIME_H
#define RUNTIME_H

int main(int argc, char **argv, char **envp);

/* System calls, in start.S of each architecture: the result, or -errno. */
long sys_write(int descriptor, const void *buffer, unsigned long length);
_Noreturn void sys_exit(int status);

/* "x86_64" or "arm64". */
extern const char architecture[];

#endif
