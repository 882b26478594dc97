/* epoll(7). */
#ifndef UAPI_EPOLL_H
#define UAPI_EPOLL_H

#include <arch/uapi.h> /* struct epoll_event */

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3

/* Events are those of poll(2); besides: */
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP (1u << 29)
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)

#endif
