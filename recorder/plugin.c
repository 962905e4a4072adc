/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's life: loading, threads, forks, the end. */
#define _GNU_SOURCE
#include "recorder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

struct recorder recorder;

static uint64_t seq_at_fork;

static void on_vcpu_init(qemu_plugin_id_t id, unsigned vcpu)
{
	(void)id;
	if (vcpu >= REC_MAX_VCPU) {
		fprintf(stderr, "pagefold: more threads than the recorder can number (%u)\n",
			REC_MAX_VCPU);
		abort();
	}
	rec_lane_of[vcpu] = lane_take();
}

static void on_vcpu_exit(qemu_plugin_id_t id, unsigned vcpu)
{
	(void)id;
	if (vcpu < REC_MAX_VCPU && rec_lane_of[vcpu])
		lane_release(rec_lane_of[vcpu]);
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
	(void)id, (void)data;
	if (recorder.detached)
		return;
	calls_at_exit();
	__atomic_store_n(&rec->done, 1, __ATOMIC_RELEASE);
	rec_ring_all();
}

/*
 * pthread_atfork handlers. QEMU stops the other CPUs around a fork, so the parent's shared memory is
 * quiet; the child maps its own in its place and keeps only the CPU that forked.
 */
static void before_fork(void)
{
	seq_at_fork = __atomic_load_n(&rec->event_seq, __ATOMIC_RELAXED);
}

static void in_child(void)
{
	struct rec_lane *l = rec_this_vcpu < 0 ? NULL : rec_lane_of[rec_this_vcpu];
	uint32_t stream = rec->stream;

	if (recorder.detached)
		return;
	if (!l || rec_attach(REC_FORK, stream, seq_at_fork)) {
		/* Memory of its own in place of the parent's, which it must not touch. */
		uint32_t workers = rec->workers;
		if (mmap(rec, REC_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			    0) == MAP_FAILED)
			abort();
		rec->workers = workers;
		recorder.detached = true;
	}
	if (l)
		lanes_after_fork(l);
}

static bool get_option(const char *arg, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(arg, name, len) || arg[len] != '=')
		return false;
	*value = arg + len + 1;
	return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(
	qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	enum rec_how how = REC_START;
	uint32_t stream = 0;
	uint64_t seq = 0;
	const char *v;

	if (info->system_emulation) {
		fprintf(stderr, "pagefold: the recorder works with QEMU's user mode only\n");
		return 1;
	}
	if (!strcmp(info->target_name, "aarch64")) {
		recorder.aarch64 = true;
	} else if (strcmp(info->target_name, "x86_64")) {
		fprintf(stderr, "pagefold: the recorder knows x86_64 and aarch64, not %s\n",
			info->target_name);
		return 1;
	}
	for (int i = 0; i < argc; i++) {
		if (get_option(argv[i], "socket", &v) && strlen(v) < sizeof(recorder.socket) - 1)
			strcpy(recorder.socket, v);
		else if (get_option(argv[i], "how", &v))
			how = (enum rec_how)atoi(v);
		else if (get_option(argv[i], "stream", &v))
			stream = (uint32_t)strtoul(v, NULL, 10);
		else if (get_option(argv[i], "seq", &v))
			seq = strtoull(v, NULL, 10);
		else if (get_option(argv[i], "skip", &v))
			recorder.skip = (uint32_t)strtoul(v, NULL, 10);
		else {
			fprintf(stderr, "pagefold: unknown argument of the recorder: %s\n",
				argv[i]);
			return 1;
		}
	}
	if (!recorder.socket[0]) {
		fprintf(stderr, "pagefold: this plugin is started by `pagefold record`\n");
		return 1;
	}
	rec_lane_of = mmap(NULL, REC_MAX_VCPU * sizeof(*rec_lane_of), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rec_lane_of == MAP_FAILED) {
		perror("pagefold: recorder");
		return 1;
	}
	maps_init();
	if (!access_init(id) || rec_attach(how, stream, seq))
		return 1;
	if (pthread_atfork(before_fork, NULL, in_child)) {
		fprintf(stderr, "pagefold: the recorder cannot follow forks\n");
		return 1;
	}
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
	qemu_plugin_register_vcpu_exit_cb(id, on_vcpu_exit);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	calls_init(id);
	return 0;
}
