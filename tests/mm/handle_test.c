/* SPDX-License-Identifier: MIT */
/* mm/handle.h: handles are unique and resolve, memory is kept and given back, failures change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine/machine.h"
#include "mm/handle.h"
#include "port/port.h"

struct object {
	struct pf_handle_head head;
	uint64_t tag[11];
};

#define MANY 5000u

static struct object *have[MANY];

static void start(uint64_t fail_at)
{
	struct machine_config mc = {.format = "arm64-4k", .memory = 16 << 20, .cpus = 1};

	mc.fail_at = fail_at;
	assert_int_equal(machine_start(&mc), 0);
}

static void handles_resolve(void **state)
{
	struct pf_handle_pool pool;
	struct object *last;

	(void)state;
	start(0);
	pf_handle_pool_init(&pool, PF_HANDLE_FILE, sizeof(struct object));
	for (unsigned i = 0; i < MANY; i++) {
		have[i] = pf_handle_alloc(&pool);
		assert_non_null(have[i]);
		assert_int_equal(have[i]->tag[0], 0);
		have[i]->tag[0] = i + 1;
	}
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t handle = have[i]->head.handle;

		assert_int_not_equal(handle, 0);
		assert_int_equal(pf_handle_type(handle), PF_HANDLE_FILE);
		assert_ptr_equal(pf_handle_object(&pool, handle), have[i]);
		assert_int_equal(have[i]->tag[0], i + 1);
	}
	/* What is free keeps its place and what it says, and is what comes next. */
	last = have[MANY / 2];
	pf_handle_free(&pool, have[7]);
	pf_handle_free(&pool, last);
	assert_int_equal(pf_handle_live(&pool), MANY - 2);
	assert_ptr_equal(pf_handle_object(&pool, last->head.handle), last);
	assert_ptr_equal(pf_handle_alloc(&pool), last);
	assert_int_equal(last->tag[0], MANY / 2 + 1);
	assert_ptr_equal(pf_handle_alloc(&pool), have[7]);
	pf_handle_pool_destroy(&pool);
	assert_int_equal(machine_check_end(), 0);
	machine_stop();
}

static void failing_allocations(void **state)
{
	(void)state;
	for (uint64_t k = 1; k < 8; k++) {
		struct pf_handle_pool pool;
		unsigned failed = 0;

		start(k);
		pf_handle_pool_init(&pool, PF_HANDLE_ANON, sizeof(struct object));
		for (unsigned i = 0; i < 200; i++) {
			struct object *o = pf_handle_alloc(&pool);

			if (!o) {
				failed++;
				o = pf_handle_alloc(&pool);
			}
			assert_non_null(o);
			assert_int_equal(o->head.handle, (i + 1) << 2 | PF_HANDLE_ANON);
		}
		assert_int_equal(failed, 1);
		pf_handle_pool_destroy(&pool);
		assert_int_equal(machine_check_end(), 0);
		machine_stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handles_resolve),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
