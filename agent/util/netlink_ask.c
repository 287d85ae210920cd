/* SPDX-License-Identifier: Apache-2.0 */
#include "util/netlink_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define REPLY_BYTES 32768 /* what the kernel fills at most in one read of a dump */

int netlink_ask(int bus, struct nlmsghdr *request, mnl_cb_t each, void *context)
{
	char *reply = malloc(REPLY_BYTES);
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	ssize_t size;
	int result = MNL_CB_OK;

	if (!reply || !socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		goto failed;
	request->nlmsg_seq = 1;
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		goto failed;
	while (result > MNL_CB_STOP) {
		size = mnl_socket_recvfrom(socket, reply, REPLY_BYTES);
		if (size < 0)
			goto failed;
		result = mnl_cb_run(reply, (size_t)size, 1, mnl_socket_get_portid(socket), each, context);
		if (result < 0)
			goto failed;
		if (!(request->nlmsg_flags & NLM_F_DUMP) && !(request->nlmsg_flags & NLM_F_ACK))
			break;
	}
	mnl_socket_close(socket);
	free(reply);
	return 0;
failed:
	result = errno ? -errno : -ENOMEM;
	if (socket)
		mnl_socket_close(socket);
	free(reply);
	return result;
}
