/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The talking part of the integration tests: a server that says who it is, and clients that say exactly what happened.
 *
 * peer serve NAME PROTOCOL:PORT…  TCP: greets with "NAME CLIENT\n", then echoes. UDP: answers each datagram with that line.
 *                                 Both families. Prints "ready" once everything listens; ends on SIGTERM or SIGINT.
 * peer ask PROTOCOL ADDRESS PORT [TIMES [SIZE]]
 *                                 TIMES connections one after the other (UDP: connected sockets), SIZE bytes there and back on
 *                                 each. Prints the server's name for each, or the errno's name and where it came from.
 * peer sendto ADDRESS PORT [TIMES] Unconnected UDP, one socket: prints "NAME ADDRESS:PORT" with the reply's source.
 * peer name ADDRESS PORT          getpeername() of a TCP connection.
 * peer hold PROTOCOL ADDRESS PORT Connects, prints "open NAME"; each line on stdin goes there and back and is printed;
 *                                 "broken ERRNO" when the connection ends.
 * peer load ADDRESS PORT          New connections with round trips, and round trips on one that stays, until stdin ends. Prints
 *                                 "N connections, N round trips, N errors" and each error.
 * peer rtt ADDRESS PORT [TIMES]   Round trips of 64 bytes on one TCP connection: prints the median's microseconds.
 *
 * Exit status 0: all went well; 1: something was refused, broken or late (2 s); 64: usage.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PEER_MAX_SOCKETS 1024
#define PEER_MAX_LINE 512
#define PEER_TIMEOUT_SECONDS 2

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static const char *error_name(int error)
{
	/* a receive time limit shows as EAGAIN: say what it means */
	return error == EAGAIN ? "ETIMEDOUT" : strerrorname_np(error);
}

static int protocol_type(const char *protocol)
{
	return !strcmp(protocol, "udp") ? SOCK_DGRAM : SOCK_STREAM;
}

/* Guests are emulated: everything takes longer there. */
static int timeout_seconds(void)
{
	return getenv("WEFT_IN_GUEST") ? PEER_TIMEOUT_SECONDS * 5 : PEER_TIMEOUT_SECONDS;
}

/* --- server --- */

struct server {
	const char *name;
	struct pollfd polled[PEER_MAX_SOCKETS];
	enum role { ROLE_LISTENER, ROLE_DATAGRAM, ROLE_CONNECTION } roles[PEER_MAX_SOCKETS];
	nfds_t count;
};

static int server_add(struct server *server, int fd, enum role role)
{
	if (server->count == PEER_MAX_SOCKETS)
		return -EMFILE;
	server->polled[server->count] = (struct pollfd){ .fd = fd, .events = POLLIN };
	server->roles[server->count++] = role;
	return 0;
}

static void server_remove(struct server *server, nfds_t index)
{
	close(server->polled[index].fd);
	server->count--;
	server->polled[index] = server->polled[server->count];
	server->roles[index] = server->roles[server->count];
}

static size_t greeting(const struct server *server, const struct sockaddr_in6 *client, char line[PEER_MAX_LINE])
{
	char text[INET6_ADDRSTRLEN];
	const char *shown = inet_ntop(AF_INET6, &client->sin6_addr, text, sizeof(text));

	if (shown && !strncmp(shown, "::ffff:", 7))
		shown += 7;
	return (size_t)snprintf(line, PEER_MAX_LINE, "%s %s\n", server->name, shown);
}

/* "tcp:80" -> a socket on both families */
static int listen_on(struct server *server, const char *spec)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	const char *colon = strchr(spec, ':');
	int type = !strncmp(spec, "udp:", 4) ? SOCK_DGRAM : SOCK_STREAM;
	int fd, on = 1, off = 0;

	if (!colon)
		return -EINVAL;
	any.sin6_port = htons((uint16_t)atoi(colon + 1));
	fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
		int error = -errno;

		close(fd);
		return error;
	}
	return server_add(server, fd, type == SOCK_STREAM ? ROLE_LISTENER : ROLE_DATAGRAM);
}

static void serve_listener(struct server *server, int listener)
{
	struct sockaddr_in6 client;
	socklen_t size = sizeof(client);
	char line[PEER_MAX_LINE];
	int on = 1, fd = accept(listener, (struct sockaddr *)&client, &size);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (send(fd, line, greeting(server, &client, line), MSG_NOSIGNAL) < 0 || server_add(server, fd, ROLE_CONNECTION) < 0)
		close(fd);
}

static void serve_datagram(struct server *server, int fd)
{
	struct sockaddr_in6 client;
	socklen_t size = sizeof(client);
	char line[PEER_MAX_LINE], buffer[65536];

	if (recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&client, &size) >= 0)
		sendto(fd, line, greeting(server, &client, line), 0, (struct sockaddr *)&client, size);
}

/* Whether the connection goes on. */
static bool serve_connection(int fd)
{
	char buffer[65536];
	ssize_t size = recv(fd, buffer, sizeof(buffer), 0);

	return size > 0 && send(fd, buffer, (size_t)size, MSG_NOSIGNAL) == size;
}

static int serve(int argc, char **argv)
{
	static struct server server;

	if (argc < 2)
		return 64;
	server.name = argv[0];
	for (int i = 1; i < argc; i++) {
		int r = listen_on(&server, argv[i]);

		if (r < 0) {
			fprintf(stderr, "peer: %s: %s\n", argv[i], strerror(-r));
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while (!stopping && poll(server.polled, server.count, -1) >= 0) {
		for (nfds_t i = server.count; i-- > 0;) {
			if (!server.polled[i].revents)
				continue;
			if (server.roles[i] == ROLE_LISTENER)
				serve_listener(&server, server.polled[i].fd);
			else if (server.roles[i] == ROLE_DATAGRAM)
				serve_datagram(&server, server.polled[i].fd);
			else if (!serve_connection(server.polled[i].fd))
				server_remove(&server, i);
		}
	}
	return 0;
}

/* --- clients --- */

struct target {
	struct sockaddr_storage addr;
	socklen_t size;
};

static bool target_parse(const char *address, const char *port, struct target *ret)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *found;

	if (getaddrinfo(address, port, &hints, &found)) {
		fprintf(stderr, "peer: %s port %s is not an address\n", address, port);
		return false;
	}
	memcpy(&ret->addr, found->ai_addr, found->ai_addrlen);
	ret->size = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static int open_socket(const struct target *target, int type)
{
	struct timeval limit = { .tv_sec = timeout_seconds() };
	int on = 1, fd = socket(target->addr.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* Reads up to a newline; `line` without it. 0 or -errno; ECONNABORTED: a clean end came first. */
static int read_line(int fd, char line[PEER_MAX_LINE])
{
	size_t length = 0;

	while (length < PEER_MAX_LINE - 1) {
		ssize_t size = recv(fd, line + length, 1, 0);

		if (size <= 0)
			return size < 0 ? -errno : -ECONNABORTED;
		if (line[length] == '\n')
			break;
		length++;
	}
	line[length] = '\0';
	return 0;
}

/* Connects and learns who answers. Returns the socket or -errno; *ret_step says what failed. */
static int greet(const struct target *target, int type, char line[PEER_MAX_LINE], const char **ret_step)
{
	int r, fd = open_socket(target, type);

	*ret_step = "connect";
	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&target->addr, target->size) < 0) {
		r = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
		goto out;
	}
	*ret_step = "talk";
	if (type == SOCK_DGRAM) {
		ssize_t size;

		if (send(fd, "?\n", 2, 0) < 0 || (size = recv(fd, line, PEER_MAX_LINE - 1, 0)) < 0) {
			r = -errno;
			goto out;
		}
		line[size] = '\0';
		r = 0;
	} else {
		r = read_line(fd, line);
	}
out:
	if (r < 0) {
		close(fd);
		return r;
	}
	line[strcspn(line, " \n")] = '\0';
	return fd;
}

/* Sends `size` bytes and reads as many. 0 or -errno. */
static int echo(int fd, size_t size)
{
	static char sent[65536], received[65536];

	while (size > 0) {
		size_t chunk = size < sizeof(sent) ? size : sizeof(sent);
		ssize_t n = send(fd, sent, chunk, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		size -= (size_t)n;
		while (n > 0) {
			ssize_t got = recv(fd, received, (size_t)n, 0);

			if (got <= 0)
				return got < 0 ? -errno : -ECONNABORTED;
			n -= got;
		}
	}
	return 0;
}

static int ask(int argc, char **argv)
{
	struct target target;
	char line[PEER_MAX_LINE];
	const char *step;
	int times = argc > 3 ? atoi(argv[3]) : 1, failures = 0;
	size_t size = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;

	if (argc < 3 || !target_parse(argv[1], argv[2], &target))
		return 64;
	for (int i = 0; i < times; i++) {
		int r, fd = greet(&target, protocol_type(argv[0]), line, &step);

		r = fd;
		if (fd >= 0) {
			r = echo(fd, size);
			close(fd);
		}
		if (r < 0) {
			printf("%s %s\n", step, error_name(-r));
			failures++;
		} else {
			puts(line);
		}
	}
	return failures > 0;
}

static int send_unconnected(int argc, char **argv)
{
	struct target target, from;
	char line[PEER_MAX_LINE], host[INET6_ADDRSTRLEN], port[16];
	int fd, times = argc > 2 ? atoi(argv[2]) : 1;

	if (argc < 2 || !target_parse(argv[0], argv[1], &target))
		return 64;
	fd = open_socket(&target, SOCK_DGRAM);
	for (int i = 0; fd >= 0 && i < times; i++) {
		ssize_t size;

		from.size = sizeof(from.addr);
		if (sendto(fd, "?\n", 2, 0, (struct sockaddr *)&target.addr, target.size) < 0) {
			printf("sendto %s\n", error_name(errno));
			return 1;
		}
		size = recvfrom(fd, line, sizeof(line) - 1, 0, (struct sockaddr *)&from.addr, &from.size);
		if (size < 0) {
			printf("talk %s\n", error_name(errno));
			return 1;
		}
		line[size] = '\0';
		line[strcspn(line, " \n")] = '\0';
		getnameinfo((struct sockaddr *)&from.addr, from.size, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
		printf("%s %s:%s\n", line, host, port);
	}
	return fd < 0;
}

static int show_name(int argc, char **argv)
{
	struct target target, peer = { .size = sizeof(peer.addr) };
	char line[PEER_MAX_LINE], host[INET6_ADDRSTRLEN], port[16];
	const char *step;
	int fd;

	if (argc < 2 || !target_parse(argv[0], argv[1], &target))
		return 64;
	fd = greet(&target, SOCK_STREAM, line, &step);
	if (fd < 0 || getpeername(fd, (struct sockaddr *)&peer.addr, &peer.size) < 0) {
		printf("%s %s\n", step, error_name(fd < 0 ? -fd : errno));
		return 1;
	}
	getnameinfo((struct sockaddr *)&peer.addr, peer.size, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	printf("%s:%s\n", host, port);
	return 0;
}

static int hold(int argc, char **argv)
{
	struct target target;
	char line[PEER_MAX_LINE], input[PEER_MAX_LINE];
	const char *step;
	int fd, r;

	if (argc < 3 || !target_parse(argv[1], argv[2], &target))
		return 64;
	fd = greet(&target, protocol_type(argv[0]), line, &step);
	if (fd < 0) {
		printf("%s %s\n", step, error_name(-fd));
		return 1;
	}
	printf("open %s\n", line);
	fflush(stdout);
	for (;;) {
		struct pollfd polled[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

		if (poll(polled, 2, -1) < 0)
			return 0;
		r = 0;
		if (polled[0].revents) {
			ssize_t size = read(STDIN_FILENO, input, sizeof(input));

			if (size <= 0)
				return 0;
			r = send(fd, input, (size_t)size, MSG_NOSIGNAL) < 0 ? -errno : read_line(fd, line);
		} else if (polled[1].revents) {
			r = read_line(fd, line); /* nothing was asked: its end or an error */
		}
		if (r < 0) {
			printf("broken %s\n", error_name(-r));
			return 1;
		}
		puts(line);
		fflush(stdout);
	}
}

static int load(int argc, char **argv)
{
	struct target target;
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[PEER_MAX_LINE];
	const char *step;
	unsigned long connections = 0, round_trips = 0, errors = 0;
	int kept, r;

	if (argc < 2 || !target_parse(argv[0], argv[1], &target))
		return 64;
	kept = greet(&target, SOCK_STREAM, line, &step);
	puts(kept < 0 ? "no first connection" : "open");
	fflush(stdout);
	if (kept < 0)
		return 1;
	while (!stopping && poll(&input, 1, 0) == 0) {
		int fd = greet(&target, SOCK_STREAM, line, &step);

		r = fd < 0 ? fd : echo(fd, 64);
		if (fd >= 0)
			close(fd);
		connections++;
		if (!r) {
			step = "kept connection";
			r = echo(kept, 1024);
			round_trips++;
		}
		if (r < 0) {
			printf("error: %s %s\n", step, error_name(-r));
			if (++errors == 10)
				break;
		}
	}
	printf("%lu connections, %lu round trips, %lu errors\n", connections, round_trips, errors);
	return errors > 0;
}

static int compare_times(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int round_trip_time(int argc, char **argv)
{
	struct target target;
	char line[PEER_MAX_LINE];
	const char *step;
	size_t times = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
	uint64_t *taken;
	int fd, r = 0;

	if (argc < 2 || !times || !target_parse(argv[0], argv[1], &target))
		return 64;
	fd = greet(&target, SOCK_STREAM, line, &step);
	taken = calloc(times, sizeof(*taken));
	for (size_t i = 0; fd >= 0 && taken && !r && i < times; i++) {
		uint64_t start = now_ns();

		r = echo(fd, 64);
		taken[i] = now_ns() - start;
	}
	if (fd < 0 || !taken || r < 0) {
		printf("%s %s\n", step, error_name(fd < 0 ? -fd : -r));
		return 1;
	}
	qsort(taken, times, sizeof(*taken), compare_times);
	printf("%.2f\n", (double)taken[times / 2] / 1000);
	free(taken);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{ "serve", serve }, { "ask", ask },   { "sendto", send_unconnected },
		{ "name", show_name }, { "hold", hold }, { "load", load },
		{ "rtt", round_trip_time },
	};
	struct sigaction action = { .sa_handler = stop };
	int status = 64;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			status = commands[i].run(argc - 2, argv + 2);
	}
	if (status == 64)
		fputs("usage: see the top of tests/integration/peer.c\n", stderr);
	return status;
}
