/* socket(2), AF_UNIX addresses, messages with control data, options (asm-generic values). */
#ifndef UAPI_SOCKET_H
#define UAPI_SOCKET_H

#include <uapi/types.h>

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_MAX 46

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_MAX 11
#define SOCK_TYPE_MASK 0xf
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define SOMAXCONN 4096

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define SOCKADDR_STORAGE_SIZE 128

#define UNIX_PATH_MAX 108

struct sockaddr_un {
	uint16_t sun_family;
	char sun_path[UNIX_PATH_MAX];
};
static_assert(sizeof(struct sockaddr_un) == 110, "Linux");

/* ---- Messages ---- */

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100
#define MSG_NOSIGNAL 0x4000
#define MSG_WAITFORONE 0x10000
#define MSG_CMSG_CLOEXEC 0x40000000

struct msghdr {
	user_t msg_name;
	uint32_t msg_namelen;
	uint32_t padding0;
	user_t msg_iov;
	uint64_t msg_iovlen;
	user_t msg_control;
	uint64_t msg_controllen;
	uint32_t msg_flags;
	uint32_t padding1;
};
static_assert(sizeof(struct msghdr) == 56, "Linux");

struct mmsghdr {
	struct msghdr msg_hdr;
	uint32_t msg_len;
	uint32_t padding;
};
static_assert(sizeof(struct mmsghdr) == 64, "Linux");

struct cmsghdr {
	uint64_t cmsg_len; /* with this header, without the padding behind the data */
	int32_t cmsg_level;
	int32_t cmsg_type;
};
static_assert(sizeof(struct cmsghdr) == 16, "Linux");

#define CMSG_ALIGN(length) (((length) + 7) & ~7ull)
#define CMSG_LEN(length) (sizeof(struct cmsghdr) + (length))
#define CMSG_SPACE(length) (sizeof(struct cmsghdr) + CMSG_ALIGN(length))

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SCM_MAX_FD 253

struct ucred {
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
};

/* ---- Options ---- */

#define SOL_SOCKET 1

#define SO_DEBUG 1
#define SO_REUSEADDR 2
#define SO_TYPE 3
#define SO_ERROR 4
#define SO_DONTROUTE 5
#define SO_BROADCAST 6
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_KEEPALIVE 9
#define SO_OOBINLINE 10
#define SO_PRIORITY 12
#define SO_LINGER 13
#define SO_PASSCRED 16
#define SO_PEERCRED 17
#define SO_RCVLOWAT 18
#define SO_SNDLOWAT 19
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#define SO_ACCEPTCONN 30
#define SO_SNDBUFFORCE 32
#define SO_RCVBUFFORCE 33
#define SO_PROTOCOL 38
#define SO_DOMAIN 39

struct linger {
	int32_t l_onoff;
	int32_t l_linger;
};

#define SOCKFS_MAGIC 0x534f434b

#endif
