/* Messages with control messages: made, sent, received and printed. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[4096];

/* The C library would look into the header itself. */
#define sendmsg(fd, header, flags) syscall(SYS_sendmsg, fd, header, flags)
#define recvmsg(fd, header, flags) syscall(SYS_recvmsg, fd, header, flags)

static _Alignas(8) char control[8192];
static struct msghdr message;
static struct iovec segment;

/* Make `message` carry data and no control messages yet. */
static void start(const char *data)
{
	memset(&message, 0, sizeof(message));
	segment = (struct iovec){(void *)data, strlen(data)};
	message.msg_iov = &segment;
	message.msg_iovlen = 1;
	message.msg_control = control;
	memset(control, 0, 64);
}

static struct cmsghdr *add(int type, const void *data, unsigned length)
{
	struct cmsghdr *header = (void *)(control + message.msg_controllen);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = type;
	header->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(header), data, length);
	message.msg_controllen += CMSG_SPACE(length);
	return header;
}

static inline int send_rights(int fd, const char *data, const int *rights, int count)
{
	start(data);
	add(SCM_RIGHTS, rights, count * sizeof(int));
	return sendmsg(fd, &message, 0);
}

/* Receive and print all there is; descriptors are closed again, or the first one is kept. */
static inline int receive(int fd, unsigned room, int flags, int *keep)
{
	memset(buffer, 0, 100);
	start("");
	segment = (struct iovec){buffer, 100};
	message.msg_controllen = room;
	errno = 0;
	int count = recvmsg(fd, &message, flags | MSG_DONTWAIT);
	if (count < 0) {
		printf("received nothing (%d)\n", errno);
		return count;
	}
	printf("received %d \"%s\" flags %x control %lu:", count, buffer, message.msg_flags,
	       (long)message.msg_controllen);
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
	     header = CMSG_NXTHDR(&message, header)) {
		printf(" [%d %d length %lu", header->cmsg_level, header->cmsg_type,
		       (long)header->cmsg_len);
		int *data = (void *)CMSG_DATA(header), number = (header->cmsg_len - 16) / 4;
		if (header->cmsg_type == SCM_CREDENTIALS && number == 3)
			printf(": %s, %d, %d", data[0] == getpid() ? "me" : data[0] == 0 ? "0" : "?",
			       data[1], data[2]);
		for (int i = 0; i < number && header->cmsg_type == SCM_RIGHTS; i++) {
			if (i < 4)
				printf(" %d%s", data[i],
				       fcntl(data[i], F_GETFD) == FD_CLOEXEC ? "c" : "");
			if (i == 0 && keep != NULL)
				*keep = data[0];
			else
				close(data[i]);
		}
		printf("]");
	}
	printf("\n");
	return count;
}
