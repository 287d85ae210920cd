/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for tools/bench: one connection at a time, blocking calls, so that what is measured is the path and not a
 * scheduler or an event loop. Each client prints one number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUND_TRIP_BYTES 64
#define WARM_UP_ROUNDS 500
#define STREAM_BYTES (128 * 1024)
#define TIMEOUT_SECONDS 10

static char buffer[STREAM_BYTES];

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "load: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, ": %s\n", strerror(errno));
	va_end(arguments);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* --- servers --- */

static void echo(int fd)
{
	ssize_t count;

	while ((count = recv(fd, buffer, ROUND_TRIP_BYTES, MSG_WAITALL)) > 0)
		if (send(fd, buffer, (size_t)count, MSG_NOSIGNAL) != count)
			return;
}

/* Tells at the end how much came, so that the client counts no byte that is still on its way. */
static void sink(int fd)
{
	uint64_t total = 0;
	ssize_t count;

	while ((count = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		total += (uint64_t)count;
	if (send(fd, &total, sizeof(total), MSG_NOSIGNAL) < 0)
		perror("load: send");
}

static void at_once(int fd) { (void)fd; }

static int listen_at(uint16_t port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1024) < 0)
		die("port %u", port);
	return fd;
}

static int serve(char **arguments)
{
	static const struct {
		const char *name;
		void (*run)(int fd);
	} kinds[] = { { "echo", echo }, { "sink", sink }, { "close", at_once } };
	int listener = listen_at((uint16_t)atoi(arguments[1])), fd, on = 1;
	void (*run)(int fd) = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, arguments[0]))
			run = kinds[i].run;
	if (!run) {
		errno = EINVAL;
		die("serve %s", arguments[0]);
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			die("accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		run(fd);
		close(fd);
	}
}

/* --- clients --- */

struct target {
	struct sockaddr_storage address;
	socklen_t size;
};

static struct target target_of(const char *host, const char *port)
{
	struct target target = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target.address;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		target.size = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		target.size = sizeof(*v6);
	} else {
		errno = EINVAL;
		die("address %s", host);
	}
	return target;
}

static int connect_to(const struct target *target)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		die("socket");
	if (connect(fd, (const struct sockaddr *)&target->address, target->size) < 0)
		die("connect");
	return fd;
}

static void round_trip(int fd)
{
	if (send(fd, buffer, ROUND_TRIP_BYTES, MSG_NOSIGNAL) != ROUND_TRIP_BYTES)
		die("send");
	if (recv(fd, buffer, ROUND_TRIP_BYTES, MSG_WAITALL) != ROUND_TRIP_BYTES)
		die("receive");
}

/* rtt ADDRESS PORT MS: mean microseconds of a round trip on one connection */
static int rtt(char **arguments)
{
	struct target target = target_of(arguments[0], arguments[1]);
	uint64_t length = (uint64_t)atoi(arguments[2]) * 1000000, start, end, rounds = 0;
	int fd = connect_to(&target);

	for (int i = 0; i < WARM_UP_ROUNDS; i++)
		round_trip(fd);
	start = end = now();
	for (; end - start < length; end = now(), rounds++)
		round_trip(fd);
	printf("%.4f\n", (double)(end - start) / 1000 / (double)rounds);
	return 0;
}

/* stream ADDRESS PORT MS: Gbit/s of one connection, until the last byte was read at the other end */
static int stream(char **arguments)
{
	struct target target = target_of(arguments[0], arguments[1]);
	uint64_t length = (uint64_t)atoi(arguments[2]) * 1000000, start, total;
	int fd = connect_to(&target);

	start = now();
	while (now() - start < length)
		if (send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) < 0)
			die("send");
	if (shutdown(fd, SHUT_WR) < 0 || recv(fd, &total, sizeof(total), MSG_WAITALL) != sizeof(total))
		die("end of stream");
	printf("%.4f\n", (double)total * 8 / (double)(now() - start));
	return 0;
}

/* The server closes first, so that TIME_WAIT and with it the used-up port are on its side. */
static void connect_once(const struct target *target)
{
	int fd = connect_to(target);

	if (recv(fd, buffer, 1, 0) != 0)
		die("end of connection");
	close(fd);
}

/* connect ADDRESS PORT MS: connections per second, each made and ended before the next */
static int connects(char **arguments)
{
	struct target target = target_of(arguments[0], arguments[1]);
	uint64_t length = (uint64_t)atoi(arguments[2]) * 1000000, start = now(), end = start, count = 0;

	for (; end - start < length; end = now(), count++)
		connect_once(&target);
	printf("%.1f\n", (double)count * 1e9 / (double)(end - start));
	return 0;
}

/* services FIRST-ADDRESS COUNT PORT MS: mean microseconds to connect and end, to COUNT IPv4 addresses in no order */
static int services(char **arguments)
{
	struct target target = target_of(arguments[0], arguments[2]);
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target.address;
	uint32_t first = ntohl(v4->sin_addr.s_addr), draw = 1;
	uint64_t length = (uint64_t)atoi(arguments[3]) * 1000000, start = now(), end = start, connections = 0;
	uint32_t count = (uint32_t)atoi(arguments[1]);

	for (; end - start < length; end = now(), connections++) {
		draw = draw * 1664525 + 1013904223;
		v4->sin_addr.s_addr = htonl(first + (uint32_t)((uint64_t)draw * count >> 32));
		connect_once(&target);
	}
	printf("%.4f\n", (double)(end - start) / 1000 / (double)connections);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments;
		int (*run)(char **arguments);
		const char *usage;
	} commands[] = {
		{ "serve", 2, serve, "echo|sink|close PORT" },
		{ "rtt", 3, rtt, "ADDRESS PORT MILLISECONDS" },
		{ "stream", 3, stream, "ADDRESS PORT MILLISECONDS" },
		{ "connect", 3, connects, "ADDRESS PORT MILLISECONDS" },
		{ "services", 4, services, "FIRST-ADDRESS COUNT PORT MILLISECONDS" },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (argc == 2 + commands[i].arguments && !strcmp(argv[1], commands[i].name))
			return commands[i].run(argv + 2);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(stderr, "usage: load %s %s\n", commands[i].name, commands[i].usage);
	return 64;
}
