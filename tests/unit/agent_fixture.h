/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TEST_AGENT_FIXTURE_H
#define WEFT_TEST_AGENT_FIXTURE_H
/*
 * An agent without programs: manifests in a directory, the real source, model and compiled tables, BPF maps of its
 * own that the test fills as programs would, telemetry and API on top.
 */
#include "agent.h"
#include "config.h"
#include "telemetry/telemetry.h"

struct fixture {
	struct agent agent;
	struct config config;
	char directory[64];   /* manifests/ and run/ are in it */
	char metrics_address[32];
	int traffic, drops, errors, control, events, conntrack; /* maps */
	uint32_t web, api; /* identities of the pods default/web and default/api */
	uint32_t service;  /* default/api's number */
};

/*
 * default/web 10.1.0.1, default/api 10.1.0.2 on node-1, service default/api 10.96.0.1:80, a NetworkPolicy that
 * isolates api.
 */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* Adds to weft_traffic on the first two CPUs what `half` says. */
void fixture_traffic(struct fixture *fixture, const struct weft_traffic_key *key, const struct weft_traffic *half);
/* A record of web talking to api by way of the service. */
struct weft_event fixture_event(const struct fixture *fixture, uint8_t type);
/*
 * Runs a shell command while the agent's event loop runs; its stdout and stderr into `output`. Returns its exit
 * status.
 */
int fixture_run(struct fixture *fixture, char *output, size_t size, const char *format,
		...) __attribute__((format(printf, 4, 5)));

#endif
