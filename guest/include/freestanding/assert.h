/* The part of <assert.h> that a freestanding program needs: C11's static_assert. */
#ifndef FREESTANDING_ASSERT_H
#define FREESTANDING_ASSERT_H

#define static_assert _Static_assert

#endif
