/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_AGENT_H
#define WEFT_AGENT_H
/* What weftd is made of; weftd.c puts it together, api/ and telemetry/ read it. All of it belongs to the control loop. */
#include <stdint.h>

struct event_base;
struct config; /* agent/config.h: the command line */

struct agent {
	const struct config *config;
	struct event_base *base;
	struct model *model;
	struct source *source;
	struct compile *compile;
	struct datapath *datapath;
	struct node *node;
	struct telemetry *telemetry;
	struct api *api;
	struct event *load_event; /* activate it when something that load() reads has changed */
	uint64_t started;	  /* CLOCK_REALTIME ns */
};

#endif
