/* Users and groups as sockets of AF_UNIX tell them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "show.h"
#include "users.h"

static void show_peer(const char *what, int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	printf("%s: %u:%u\n", what, peer.uid, peer.gid);
}

static int send_as(int fd, uid_t user, gid_t group)
{
	struct ucred claim = {getpid(), user, group};
	char byte = 'x', control[CMSG_SPACE(sizeof(claim))] = "";
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	*header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(claim)), .cmsg_level = SOL_SOCKET,
				   .cmsg_type = SCM_CREDENTIALS};
	memcpy(CMSG_DATA(header), &claim, sizeof(claim));
	return (int)sendmsg(fd, &message, 0);
}

static void receive(int fd)
{
	struct ucred sender = {0};
	char byte, control[CMSG_SPACE(sizeof(sender))] = "";
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	if (recvmsg(fd, &message, MSG_DONTWAIT) < 0) {
		printf("nothing: %s\n", error_name(errno));
		return;
	}
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	memcpy(&sender, CMSG_DATA(header), sizeof(sender));
	printf("from %u:%u\n", sender.uid, sender.gid);
}

static void named(void)
{
	struct sockaddr_un name = {AF_UNIX, "all/socket"}, closed = {AF_UNIX, "closed/socket"};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	become(OWNER, GROUP);
	SHOW(bind(listener, (void *)&closed, sizeof(closed)));
	SHOW(bind(listener, (void *)&name, sizeof(name)));
	show_file("all/socket");
	SHOW(listen(listener, 5));
	become(OTHER, OTHER);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect(client, (void *)&name, sizeof(name)));
	become(0, 0);
	chmod("all/socket", 0722);
	setresgid(5, 6, 0);
	setresuid(OWNER, OTHER, 0);
	SHOW(connect(client, (void *)&name, sizeof(name)));
	become(0, 0);
	int server = accept(listener, NULL, NULL);
	show_peer("the client's peer", client);
	show_peer("the server's peer", server);
	SHOW(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&closed, sizeof(closed)));
}

static void pairs(void)
{
	int on = 1, pair[2], large = 7;
	setresgid(5, 6, 0);
	setresuid(OWNER, OTHER, 0);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	show_peer("a pair", pair[0]);
	setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	write(pair[0], "x", 1);
	receive(pair[1]);
	SHOW(send_as(pair[0], 0, 0));
	SHOW(send_as(pair[0], 1, 5));
	SHOW(send_as(pair[0], OTHER, 1));
	SHOW(send_as(pair[0], OTHER, 6));
	receive(pair[1]);
	SHOW(send_as(pair[0], OWNER, 0));
	receive(pair[1]);
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &on, sizeof(on)));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_PRIORITY, &on, sizeof(on)));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_PRIORITY, &large, sizeof(large)));
	become(0, 0);
	SHOW(send_as(pair[0], 4321, 1234));
	receive(pair[1]);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	enter_area();
	mkdir("all", 0777);
	chmod("all", 0777);
	mkdir("closed", 0755);
	named();
	pairs();
	return 0;
}
