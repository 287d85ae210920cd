/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_SERIES_H
#define WEFT_TELEMETRY_SERIES_H
/*
 * Traffic counters under the label set of Istio's TCP metrics. Several entries of weft_traffic may end up with the same
 * labels (identities of one workload, reasons of one response flag): they are added.
 */
#include "telemetry/traffic.h"

struct series {
	const char *source, *destination, *service; /* label texts: `source_workload="web",...` */
	const char *response_flags;
	uint8_t reporter, protocol, tls;
	struct weft_traffic sum;
};
struct series_list {
	struct series *items; /* sorted by labels */
	size_t count;
	void *texts, *ends; /* search trees that own the label texts */
};

/* 0 or -errno. */
int series_read(const struct agent *agent, struct series_list *ret);
void series_clear(struct series_list *list);

#define SERIES_LABELS_MAX 8192
/* All labels, without braces, into SERIES_LABELS_MAX bytes; returns it. */
char *series_labels(const struct series *series, char *text);

/* `value` with \, " and line ends escaped as the text format wants it; cut to what fits `size`. Returns `text`. */
char *label_escape(const char *value, char *text, size_t size);

#endif
