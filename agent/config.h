/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_CONFIG_H
#define WEFT_CONFIG_H
/* weftd's options. One table (config.c) drives parsing, --help, the man page check and /v1/config. */
#include <stdbool.h>

#include "datapath/datapath.h"

struct config {
	const char *source;	     /* --source=dir:PATH */
	const char *node_name;	     /* --node-name, default the host name */
	const char *run_directory;   /* --run-directory, default /run/weft: weftd.sock, lock file */
	const char *metrics_address; /* --metrics-address HOST:PORT, default 127.0.0.1:15020; "" = off */
	const char *access_log;	     /* --access-log FILE or "-"; NULL = off */
	const char *trust_domain;    /* --trust-domain, default cluster.local */
	const char *root_namespace;  /* --root-namespace, default weft-system */
	const char *cluster;	     /* --cluster, default Kubernetes: source_cluster/destination_cluster labels */
	const char *log_level;	     /* --log-level */
	bool log_json;		     /* --log-format=json */
	bool cleanup;		     /* --cleanup: detach and unpin everything, then exit */
	unsigned int report_seconds; /* --report-interval, default 10: long connections report this often */
	unsigned int flow_history;   /* --flow-history, default 8192 records kept for meshctl observe */
	struct datapath_options datapath; /* --bpffs --cgroup --deny=reset|drop --short-way=auto|on|off --max-* */
};

/* 0: go on; 1: --help or --version was printed; -EINVAL: said on stderr, naming the option and what it takes. */
int config_parse(struct config *ret, int argc, char **argv);
/*
 * The options as they are in force, in order of the table; `value` as the user would write it. For /v1/config. Stops at the first
 * non-zero result and returns it.
 */
int config_each(const struct config *config, int (*each)(const char *name, const char *value, void *context), void *context);

#endif
