/* SPDX-License-Identifier: Apache-2.0 */
/* The built BPF objects, and what it means when the kernel does not take one. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "datapath/load.h"
#include "objects.h"
#include "util/hash.h"
#include "util/log.h"

#define IMAGE(name) { #name, name##_bpf__elf_bytes },
static const struct {
	const char *name;
	const void *(*bytes)(size_t *size);
} images[] = { WEFT_OBJECTS(IMAGE) };

size_t objects_count(void) { return sizeof(images) / sizeof(*images); }
const char *objects_name(size_t index) { return images[index].name; }

uint64_t objects_hash(size_t index)
{
	size_t size;
	const void *bytes = images[index].bytes(&size);

	return hash_bytes(HASH_START, bytes, size);
}

/* The verifier's log comes in one piece of many lines. */
static int say(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char *text, *rest, *line;

	(void)level;
	if (log_get_level() < LOG_DEBUG || vasprintf(&text, format, arguments) < 0)
		return 0;
	for (rest = text; (line = strsep(&rest, "\n"));)
		if (*line)
			log_debug("libbpf: %s", line);
	free(text);
	return 0;
}

int objects_open(size_t index, struct bpf_object **ret)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = images[index].name);
	struct bpf_object *object;
	size_t size;
	const void *bytes = images[index].bytes(&size);

	libbpf_set_print(say);
	object = bpf_object__open_mem(bytes, size, &options);
	if (!object)
		return -errno;
	*ret = object;
	return 0;
}

static const struct {
	int number;
	const char *name;
} capabilities[] = { { CAP_BPF, "CAP_BPF" }, { CAP_NET_ADMIN, "CAP_NET_ADMIN" }, { CAP_PERFMON, "CAP_PERFMON" } };

/* The first capability that is needed and that this process lacks, or NULL. CAP_SYS_ADMIN stands for two of them. */
static const char *missing_capability(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long long effective = 0;
	char line[256];

	if (!file)
		return NULL;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	fclose(file);
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(*capabilities); i++) {
		unsigned long long enough = 1ULL << capabilities[i].number;

		if (capabilities[i].number != CAP_NET_ADMIN)
			enough |= 1ULL << CAP_SYS_ADMIN;
		if (!(effective & enough))
			return capabilities[i].name;
	}
	return NULL;
}

static const struct {
	enum bpf_prog_type type;
	const char *name, *option;
} needed[] = {
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "cgroup/connect", "CONFIG_CGROUP_BPF" },
	{ BPF_PROG_TYPE_SOCK_OPS, "sockops", "CONFIG_CGROUP_BPF" },
	{ BPF_PROG_TYPE_SCHED_CLS, "tc", "CONFIG_NET_CLS_BPF" },
};

static int explain_not_permitted(const char *what, char reason[REASON_MAX])
{
	const char *missing = missing_capability();

	if (missing)
		explain_failure(reason, 
			 "the kernel does not let this process load %s: it lacks %s. Run weftd as root, or with CAP_BPF, "
			 "CAP_PERFMON and CAP_NET_ADMIN", what, missing);
	else
		explain_failure(reason, 
			 "the kernel does not let this process load %s although it has the capabilities: a seccomp filter, "
			 "kernel lockdown or a security module forbids it", what);
	return -EPERM;
}

int objects_explain(const char *what, int error, char reason[REASON_MAX])
{
	struct utsname kernel = { 0 };

	uname(&kernel);
	if (error == -EPERM || error == -EACCES) {
		if (missing_capability() || error == -EPERM)
			return explain_not_permitted(what, reason);
	}
	if (error == -ENOMEM || error == -ENOSPC) {
		explain_failure(reason, "no memory for %s: %s. Lower the capacities (--max-...) or give the node more",
			 what, strerror(-error));
		return error;
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		explain_failure(reason, "kernel %s has no BTF, which %s needs: run one with CONFIG_DEBUG_INFO_BTF=y",
			 kernel.release, what);
		return -ENOTSUP;
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (libbpf_probe_bpf_prog_type(needed[i].type, NULL) == 0) {
			explain_failure(reason, "kernel %s has no %s programs: run one with %s=y", kernel.release,
				 needed[i].name, needed[i].option);
			return -ENOTSUP;
		}
	explain_failure(reason, "kernel %s refuses %s: %s. Its reasons are in the log with --log-level=debug; "
		 "Weft needs Linux 6.1 or later", kernel.release, what, strerror(-error));
	return error;
}
