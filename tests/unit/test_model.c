/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "util/hash.h"
#include "util/intern.h"

static void *make(enum model_kind kind, const char *namespace, const char *name, uint64_t digest)
{
	struct object *object = object_alloc(kind);

	assert_non_null(object);
	object->namespace = intern(namespace);
	object->name = intern(name);
	object->digest = digest;
	return object;
}

struct log {
	char text[512];
};

static void note(const struct object *old, const struct object *new, void *context)
{
	struct log *log = context;
	size_t length = strlen(log->text);

	snprintf(log->text + length, sizeof(log->text) - length, "%s%s:%d>%d ",
		 model_kind_name((old ? old : new)->kind), (old ? old : new)->name, old ? (int)old->digest : -1,
		 new ? (int)new->digest : -1);
}

static int append_name(const struct object *object, void *context)
{
	struct log *log = context;

	strcat(log->text, object->namespace);
	strcat(log->text, "/");
	strcat(log->text, object->name);
	strcat(log->text, " ");
	return 0;
}

static void interned_strings_are_one(void **state)
{
	char name[] = "default", many[32];

	(void)state;
	assert_ptr_equal(intern("default"), intern(name));
	assert_ptr_equal(intern_n("defaulted", 7), intern(name));
	assert_string_equal(intern(""), "");
	assert_null(intern(NULL));
	for (int i = 0; i < 20000; i++) {
		snprintf(many, sizeof(many), "pod-%d", i % 10000);
		assert_string_equal(intern(many), many);
	}
	assert_ptr_equal(intern("pod-77"), intern("pod-77"));
}

static void watchers_hear_of_new_replaced_and_deleted_objects(void **state)
{
	struct log log = { "" };
	struct model *model;

	(void)state;
	assert_int_equal(model_new(&model), 0);
	model_watch(model, note, &log);
	assert_int_equal(model_put(model, make(MODEL_SERVICE, "default", "web", 1)), 1);
	assert_int_equal(model_put(model, make(MODEL_SERVICE, "default", "web", 1)), 0);
	assert_int_equal(model_put(model, make(MODEL_SERVICE, "default", "web", 2)), 1);
	assert_int_equal(model_put(model, make(MODEL_POD, "default", "web", 7)), 1);
	assert_int_equal(model_delete(model, MODEL_SERVICE, "default", "web"), 1);
	assert_int_equal(model_delete(model, MODEL_SERVICE, "default", "web"), 0);
	assert_string_equal(log.text, "Serviceweb:-1>1 Serviceweb:1>2 Podweb:-1>7 Serviceweb:2>-1 ");
	assert_null(model_get(model, MODEL_SERVICE, "default", "web"));
	assert_non_null(model_get(model, MODEL_POD, "default", "web"));
	model_free(model);
}

static void objects_come_in_order_of_their_names(void **state)
{
	struct log log = { "" };
	struct model *model;

	(void)state;
	assert_int_equal(model_new(&model), 0);
	model_put(model, make(MODEL_POD, "b", "a", 1));
	model_put(model, make(MODEL_POD, "a", "z", 1));
	model_put(model, make(MODEL_POD, "a", "c", 1));
	assert_int_equal(model_each(model, MODEL_POD, append_name, &log), 0);
	assert_string_equal(log.text, "a/c a/z b/a ");
	model_free(model);
}

static int count_slice(const struct endpoint_slice_object *slice, void *context)
{
	(void)slice;
	++*(int *)context;
	return 0;
}

static int count_pod(const struct pod_object *pod, void *context)
{
	(void)pod;
	++*(int *)context;
	return 0;
}

static int slices_of(const struct model *model, const char *service)
{
	int count = 0;

	assert_int_equal(model_each_slice(model, "default", service, count_slice, &count), 0);
	return count;
}

static void put_slice(struct model *model, const char *name, const char *service, uint64_t digest)
{
	struct endpoint_slice_object *slice = make(MODEL_ENDPOINT_SLICE, "default", name, digest);

	slice->service_name = intern(service);
	assert_int_equal(model_put(model, &slice->meta), 1);
}

static void slices_follow_the_service_they_name(void **state)
{
	struct model *model;

	(void)state;
	assert_int_equal(model_new(&model), 0);
	put_slice(model, "one", "web", 1);
	put_slice(model, "two", "web", 1);
	put_slice(model, "three", "api", 1);
	put_slice(model, "none", NULL, 1);
	assert_int_equal(slices_of(model, "web"), 2);
	put_slice(model, "two", "api", 2);
	assert_int_equal(slices_of(model, "web"), 1);
	assert_int_equal(slices_of(model, "api"), 2);
	model_delete(model, MODEL_ENDPOINT_SLICE, "default", "one");
	assert_int_equal(slices_of(model, "web"), 0);
	assert_int_equal(slices_of(model, "api"), 2);
	model_free(model);
}

static void pods_are_found_by_namespace(void **state)
{
	struct model *model;
	int count = 0;

	(void)state;
	assert_int_equal(model_new(&model), 0);
	model_put(model, make(MODEL_POD, "a", "one", 1));
	model_put(model, make(MODEL_POD, "a", "two", 1));
	model_put(model, make(MODEL_POD, "b", "one", 1));
	model_put(model, make(MODEL_POD, "a", "one", 2));
	model_each_pod_in(model, "a", count_pod, &count);
	assert_int_equal(count, 2);
	model_each_pod_in(model, "c", count_pod, &count);
	assert_int_equal(count, 2);
	model_free(model);
}

static int append_report(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	struct log *log = context;

	(void)namespace;
	strcat(log->text, model_kind_name(kind));
	strcat(log->text, " ");
	strcat(log->text, name);
	strcat(log->text, " ");
	strcat(log->text, text);
	strcat(log->text, "; ");
	return 0;
}

static void expect_reports(const struct model *model, const char *expected)
{
	struct log log = { "" };

	assert_int_equal(model_each_report(model, append_report, &log), 0);
	assert_string_equal(log.text, expected);
}

static void reports_live_as_long_as_their_object(void **state)
{
	struct model *model;

	(void)state;
	assert_int_equal(model_new(&model), 0);
	assert_int_equal(model_report(model, MODEL_SERVICE, "default", "web", "source", "a"), -ENOENT);
	model_put(model, make(MODEL_SERVICE, "default", "web", 1));
	assert_int_equal(model_report(model, MODEL_SERVICE, "default", "web", "source", "a"), 0);
	assert_int_equal(model_report(model, MODEL_SERVICE, "default", "web", "source", "a"), 0);
	assert_int_equal(model_report(model, MODEL_SERVICE, "default", "web", "compile", "b"), 0);
	model_put(model, make(MODEL_SERVICE, "default", "web", 2));
	expect_reports(model, "Service web a; Service web b; ");
	model_clear_reports(model, MODEL_SERVICE, "default", "web", "source");
	expect_reports(model, "Service web b; ");
	model_delete(model, MODEL_SERVICE, "default", "web");
	expect_reports(model, "");
	model_free(model);
}

static void a_held_object_outlives_the_model(void **state)
{
	struct object *object = make(MODEL_NODE, "", "one", 1);
	struct model *model;

	(void)state;
	assert_int_equal(model_new(&model), 0);
	object_hold(object);
	assert_int_equal(model_put(model, object), 1);
	model_report(model, MODEL_NODE, "", "one", "source", "said of the model's object");
	model_delete(model, MODEL_NODE, "", "one");
	assert_int_equal(model_put(model, object_hold(object)), 1);
	expect_reports(model, "");
	model_free(model);
	assert_string_equal(object->name, "one");
	object_free(object);
}

/* Against an array, which cannot be wrong: what is in, in what order, and what each call returns. */
static void random_changes_leave_what_an_array_would_hold(void **state)
{
	enum { NAMES = 300, CHANGES = 20000 };
	uint64_t digests[NAMES] = { 0 };
	struct model *model;
	size_t present = 0;
	char name[16];
	int found = 0;

	(void)state;
	srandom(3);
	assert_int_equal(model_new(&model), 0);
	for (int i = 0; i < CHANGES; i++) {
		int which = (int)(random() % NAMES);
		uint64_t digest = 1 + (uint64_t)(random() % 3);

		snprintf(name, sizeof(name), "p%d", which);
		if (random() % 2) {
			assert_int_equal(model_put(model, make(MODEL_POD, "a", name, digest)),
					 digests[which] != digest);
			present += !digests[which];
			digests[which] = digest;
		} else {
			assert_int_equal(model_delete(model, MODEL_POD, "a", name), digests[which] != 0);
			present -= digests[which] != 0;
			digests[which] = 0;
		}
		assert_int_equal(model_count(model, MODEL_POD), present);
	}
	for (int i = 0; i < NAMES; i++) {
		const struct object *object;

		snprintf(name, sizeof(name), "p%d", i);
		object = model_get(model, MODEL_POD, "a", name);
		assert_int_equal(object ? object->digest : 0, digests[i]);
	}
	model_each_pod_in(model, "a", count_pod, &found);
	assert_int_equal(found, present);
	model_free(model);
}

static struct selector_term term(const char *key, enum selector_operator operator, const char **values, size_t count)
{
	return (struct selector_term){
		.key = intern(key), .operator = operator, .values = values, .value_count = count
	};
}

static void selectors_match_as_kubernetes_says(void **state)
{
	struct label items[] = { { intern("app"), intern("web") }, { intern("tier"), intern("front") } };
	const struct labels labels = { items, 2 };
	const char *web[] = { intern("api"), intern("web") }, *other[] = { intern("db") };
	struct {
		struct selector_term term;
		bool matches;
	} cases[] = {
		{ term("app", SELECTOR_IN, web, 2), true },
		{ term("app", SELECTOR_IN, other, 1), false },
		{ term("none", SELECTOR_IN, web, 2), false },
		{ term("app", SELECTOR_NOT_IN, web, 2), false },
		{ term("app", SELECTOR_NOT_IN, other, 1), true },
		{ term("none", SELECTOR_NOT_IN, web, 2), true },
		{ term("tier", SELECTOR_EXISTS, NULL, 0), true },
		{ term("none", SELECTOR_EXISTS, NULL, 0), false },
		{ term("tier", SELECTOR_DOES_NOT_EXIST, NULL, 0), false },
		{ term("none", SELECTOR_DOES_NOT_EXIST, NULL, 0), true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(selector_matches(&(struct selector){ &cases[i].term, 1 }, &labels), cases[i].matches);
	assert_true(selector_matches(&(struct selector){ 0 }, &labels));
	assert_true(selector_matches(&(struct selector){ 0 }, &(struct labels){ 0 }));
}

static int free_strings(void **state)
{
	(void)state;
	intern_free_all();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interned_strings_are_one),
		cmocka_unit_test(watchers_hear_of_new_replaced_and_deleted_objects),
		cmocka_unit_test(objects_come_in_order_of_their_names),
		cmocka_unit_test(slices_follow_the_service_they_name),
		cmocka_unit_test(pods_are_found_by_namespace),
		cmocka_unit_test(reports_live_as_long_as_their_object),
		cmocka_unit_test(a_held_object_outlives_the_model),
		cmocka_unit_test(random_changes_leave_what_an_array_would_hold),
		cmocka_unit_test(selectors_match_as_kubernetes_says),
	};

	return cmocka_run_group_tests(tests, NULL, free_strings);
}
