/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this machine can run weftd: asked of the kernel itself, not of its version, wherever it can be asked. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "context.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

enum result { OK, WARNING, FAILURE };

static void add(cJSON *checks, const char *name, enum result result, const char *hint, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void add(cJSON *checks, const char *name, enum result result, const char *hint, const char *format, ...)
{
	static const char *const words[] = { "ok", "warning", "failure" };
	cJSON *check = cJSON_CreateObject();
	char detail[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	cJSON_AddStringToObject(check, "category", "this machine");
	cJSON_AddStringToObject(check, "name", name);
	cJSON_AddStringToObject(check, "result", words[result]);
	if (*detail)
		cJSON_AddStringToObject(check, "detail", detail);
	if (result != OK)
		cJSON_AddStringToObject(check, "hint", hint);
	cJSON_AddItemToArray(checks, check);
}

static bool kernel_is_at_least(const struct utsname *name, int major, int minor)
{
	int has_major = 0, has_minor = 0;

	sscanf(name->release, "%d.%d", &has_major, &has_minor);
	return has_major > major || (has_major == major && has_minor >= minor);
}

static void check_version(cJSON *checks)
{
	struct utsname name;

	uname(&name);
	add(checks, "kernel is 6.1 or newer", kernel_is_at_least(&name, 6, 1) ? OK : FAILURE,
	    "boot a newer kernel; Debian 12's is new enough", "%s %s", name.sysname, name.release);
	add(checks, "programs at interfaces", OK, NULL, "%s",
	    kernel_is_at_least(&name, 6, 6) ? "tcx" : "clsact (tcx comes with 6.6)");
}

static void check_btf(cJSON *checks)
{
	bool there = !access("/sys/kernel/btf/vmlinux", R_OK);

	add(checks, "kernel types (BTF)", there ? OK : FAILURE,
	    "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' are",
	    "%s", there ? "" : "/sys/kernel/btf/vmlinux is missing");
}

static void check_bpffs(cJSON *checks, const char *path)
{
	struct statfs system;
	bool mounted = !statfs(path, &system) && (unsigned long)system.f_type == BPF_FS_MAGIC;

	add(checks, "bpffs is mounted", mounted ? OK : FAILURE,
	    "mount -t bpf bpffs /sys/fs/bpf, or mount one elsewhere and start weftd with --bpffs", "%s%s",
	    mounted ? "" : "not at ", path);
}

/* Where cgroup2 is mounted first, into `path`. */
static bool find_cgroup2(char path[256])
{
	FILE *mounts = fopen("/proc/mounts", "re");
	char line[1024], type[32];
	bool found = false;

	while (mounts && !found && fgets(line, sizeof(line), mounts))
		found = sscanf(line, "%*s %255s %31s", path, type) == 2 && !strcmp(type, "cgroup2");
	if (mounts)
		fclose(mounts);
	return found;
}

static void check_cgroup2(cJSON *checks)
{
	char path[256];
	bool found = find_cgroup2(path);

	add(checks, "cgroup2 is mounted", found ? OK : FAILURE,
	    "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1", "%s",
	    found ? path : "not in /proc/mounts");
}

static unsigned long long effective_capabilities(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long capabilities = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %llx", &capabilities) == 1)
			break;
	if (file)
		fclose(file);
	return capabilities;
}

/* Those that are missing, by name. Returns whether all are there. */
static bool check_capabilities(cJSON *checks)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {
		{ CAP_BPF, "CAP_BPF" },
		{ CAP_PERFMON, "CAP_PERFMON" },
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	};
	unsigned long long capabilities = effective_capabilities();
	char missing[128] = "";

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!(capabilities >> needed[i].number & 1))
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s",
				 *missing ? ", " : "missing: ",
				 needed[i].name);
	add(checks, "privileges", *missing ? FAILURE : OK, "run as root; in a container, add these capabilities", "%s",
	    missing);
	return !*missing;
}

static void check_program_types(cJSON *checks)
{
	static const struct {
		enum bpf_prog_type type;
		const char *name;
	} types[] = {
		{ BPF_PROG_TYPE_SCHED_CLS, "programs at interfaces (sched_cls)" },
		{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "balancing at connect() (cgroup_sock_addr)" },
		{ BPF_PROG_TYPE_SOCK_OPS, "connection telemetry (sock_ops)" },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		int result = libbpf_probe_bpf_prog_type(types[i].type, NULL);

		add(checks, types[i].name, result == 1 ? OK : FAILURE,
		    "use a kernel built with CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF and CONFIG_NET_CLS_BPF, as distributions' "
		    "are", "%s",
		    result == 1 ? "" : result ? strerror(-result) : "this kernel has none");
	}
}

static void check_helpers(cJSON *checks)
{
	int result = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_peer, NULL);

	add(checks, "short way between pods (bpf_redirect_peer)", result == 1 ? OK : WARNING,
	    "start weftd with --short-way=off, or use kernel 5.10 or newer", "%s",
		    result == 1 ? "" : "this kernel has none");
}

static void check_jit(cJSON *checks)
{
	FILE *file = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int enabled = 1;

	if (file) {
		if (fscanf(file, "%d", &enabled) != 1)
			enabled = 1;
		fclose(file);
	}
	add(checks, "programs are compiled to machine code", enabled ? OK : WARNING, "sysctl net.core.bpf_jit_enable=1",
	    "%s",
	    enabled ? "" : "net.core.bpf_jit_enable is 0: every packet pays for it");
}

/*
 * On a socket that is not connected the kernel says ENOTCONN, having loaded the module; without CONFIG_TLS it says
 * ENOENT.
 */
static void check_tls(cJSON *checks)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there = fd >= 0 && (!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) || errno == ENOTCONN);

	if (fd >= 0)
		close(fd);
	add(checks, "encryption in the kernel (CONFIG_TLS)", there ? OK : WARNING,
	    "nothing that this version does needs it: encryption between nodes will, and traffic of this node would "
	    "stay clear; "
	    "modprobe tls, or use a kernel with CONFIG_TLS", "%s", there ? "" : "this kernel has none");
}

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

cJSON *check_kernel(const char *bpffs)
{
	cJSON *checks = cJSON_CreateArray();

	libbpf_set_print(quiet);
	check_version(checks);
	check_btf(checks);
	check_bpffs(checks, bpffs ? bpffs : "/sys/fs/bpf");
	check_cgroup2(checks);
	if (check_capabilities(checks)) { /* without them the kernel's answers would mean nothing */
		check_program_types(checks);
		check_helpers(checks);
	}
	check_jit(checks);
	check_tls(checks);
	return checks;
}
