/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/desired.h"

#include <errno.h>
#include <stdlib.h>

int desired_new(struct desired **ret)
{
	struct desired *desired = calloc(1, sizeof(*desired));

	if (!desired)
		return -ENOMEM;
	if (table_new(&desired->services, sizeof(struct weft_service_key)) < 0 ||
	    table_new(&desired->backends, sizeof(struct weft_backend_key)) < 0 ||
	    table_new(&desired->workloads, sizeof(uint64_t)) < 0 || table_new(&desired->interfaces, sizeof(uint32_t)) < 0 ||
	    table_new(&desired->addresses, sizeof(struct weft_addr)) < 0 ||
	    table_new(&desired->prefixes, sizeof(struct weft_prefix)) < 0 ||
	    table_new(&desired->policies, sizeof(struct weft_policy_key)) < 0) {
		desired_free(desired);
		return -ENOMEM;
	}
	*ret = desired;
	return 0;
}

void desired_free(struct desired *desired)
{
	if (!desired)
		return;
	table_free(desired->services);
	table_free(desired->backends);
	table_free(desired->workloads);
	table_free(desired->interfaces);
	table_free(desired->addresses);
	table_free(desired->prefixes);
	table_free(desired->policies);
	free(desired);
}
