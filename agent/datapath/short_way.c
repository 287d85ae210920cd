/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether same-node traffic may go around the host's path. It must not where something else decides about packets there:
 * nftables or iptables rules on what is forwarded or bridged, ebtables, programs of others at the pods' interfaces.
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/attach.h"
#include "datapath/filters.h"
#include "datapath/internal.h"
#include "util/log.h"

static bool find_programs(const struct datapath *datapath, char *why, size_t size)
{
	uint32_t *interfaces;
	size_t count;
	bool found = false;
	int error = attach_interfaces(datapath->directory, &interfaces, &count);

	if (error) {
		snprintf(why, size, "the pinned interfaces cannot be read: %s", strerror(-error));
		return true;
	}
	for (size_t i = 0; i < count && !found; i++) {
		char name[IF_NAMESIZE] = "";
		int others;

		if (!if_indextoname(interfaces[i], name))
			continue;
		others = attach_others(datapath->directory, interfaces[i]);
		found = others > 0 || (others < 0 && others != -ENODEV);
		if (others > 0)
			snprintf(why, size, "%d other programs or filters at interface %s", others, name);
		else if (found)
			snprintf(why, size, "programs at interface %s cannot be listed: %s", name, strerror(-others));
	}
	free(interfaces);
	return found;
}

/* Something else on the host's path; what cannot be looked at counts as such. */
static bool find_others(const struct datapath *datapath, char *why, size_t size)
{
	return filters_nftables(why, size) || filters_iptables(why, size) || find_programs(datapath, why, size);
}

void short_way_look(const struct datapath *datapath, struct short_way_state *ret)
{
	char found[SHORT_WAY_WHY_MAX - 8] = "";

	switch (datapath->options.short_way) {
	case SHORT_WAY_ON:
		ret->on = true;
		snprintf(ret->why, sizeof(ret->why), "on: configured");
		return;
	case SHORT_WAY_OFF:
		ret->on = false;
		snprintf(ret->why, sizeof(ret->why), "off: configured");
		return;
	case SHORT_WAY_AUTO:
		break;
	}
	ret->on = !find_others(datapath, found, sizeof(found));
	snprintf(ret->why, sizeof(ret->why), "auto: %s", ret->on ? "nothing else filters on the host's path" : found);
}

int short_way_open(struct datapath *datapath, char reason[REASON_MAX])
{
	datapath->short_way = calloc(1, sizeof(*datapath->short_way));
	if (!datapath->short_way) {
		snprintf(reason, REASON_MAX, "out of memory");
		return -ENOMEM;
	}
	short_way_look(datapath, datapath->short_way);
	log_info("short way between pods of this node: %s (%s)", datapath->short_way->on ? "on" : "off",
		 datapath->short_way->why);
	return 0;
}

void short_way_close(struct datapath *datapath)
{
	free(datapath->short_way);
	datapath->short_way = NULL;
}

bool datapath_short_way(const struct datapath *datapath, const char **ret_why)
{
	*ret_why = datapath->short_way->why;
	return datapath->short_way->on;
}

void datapath_short_way_check(struct datapath *datapath)
{
	struct short_way_state now = {};
	int error;

	short_way_look(datapath, &now);
	if (!strcmp(now.why, datapath->short_way->why))
		return;
	log_info("short way between pods of this node: %s (%s)", now.on ? "on" : "off", now.why);
	if (now.on != datapath->short_way->on) {
		error = apply_short_way(datapath, now.on);
		if (error < 0) { /* the next look tries again */
			log_error("cannot switch the short way %s: %s", now.on ? "on" : "off", strerror(-error));
			return;
		}
	}
	*datapath->short_way = now;
}
