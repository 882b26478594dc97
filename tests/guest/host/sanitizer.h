/* The address sanitizer's runtime; see sanitizer.c. */
#ifndef HOST_SANITIZER_H
#define HOST_SANITIZER_H

#include <stddef.h>
#include <stdint.h>

/* Watch the memory that is "physical", until it is unmapped. */
void sanitizer_watch_memory(uintptr_t base, size_t size);
void sanitizer_forget_memory(void);

/* Memory for one node, apart from all others. */
void *sanitizer_make_node(size_t size);
void sanitizer_free_node(void *node, size_t size);

#endif
