/* Files that stand in for standard input and output: they take all, and give nothing.
 *
 *	null	input is at its end (/dev/null)
 *	void	input never comes
 */
#ifndef FILE_DEVICE_PSEUDO_H
#define FILE_DEVICE_PSEUDO_H

#include <file/open_file.h>

/* Open the one of this name: 0; -ENOENT where there is none of that name; -ENOMEM. */
int pseudo_open(const char *name, size_t length, unsigned flags, struct open_file **made);

#endif
