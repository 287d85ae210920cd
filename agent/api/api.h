/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_API_H
#define WEFT_API_H
/* HTTP and JSON for meshctl, on a unix socket that only root can open: config->run_directory/weftd.sock. */
#include "agent.h"

struct api;

/*
 * Listens from the loop of `agent`, whose other parts must be there. A socket that a former agent left behind is
 * replaced: the caller holds the lock that makes sure there is no other. 0 or -errno, logged with what to do.
 */
int api_open(struct api **ret, const struct agent *agent);
/* What a killed agent left in its run directory; the caller holds the lock. */
void api_remove_socket(const char *run_directory);
/* Ends what is being followed and removes the socket. NULL is fine. Before telemetry_close(). */
void api_close(struct api *api);

#endif
