/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TEST_RANDOM_POLICY_H
#define WEFT_TEST_RANDOM_POLICY_H
/* Random policies as manifests, made of what a model's pods, namespaces and nodes offer to be named. */
#include "model/model.h"

struct random {
	uint64_t state;
};
struct random random_start(uint64_t seed);
uint32_t random_below(struct random *random, uint32_t limit); /* 0..limit-1; limit above 0 */
bool random_chance(struct random *random, unsigned int percent);

#define VOCABULARY_MAX 128
struct vocabulary {
	const char *namespaces[VOCABULARY_MAX];
	struct label pod_labels[VOCABULARY_MAX], namespace_labels[VOCABULARY_MAX];
	const char *accounts[VOCABULARY_MAX];
	const char *port_names[VOCABULARY_MAX];
	uint16_t ports[VOCABULARY_MAX];
	struct weft_addr addresses[VOCABULARY_MAX];
	size_t namespace_count, pod_label_count, namespace_label_count, account_count, port_name_count, port_count, address_count;
};
/* Strings are the model's: valid as long as interned ones are. */
void vocabulary_from(struct vocabulary *vocabulary, const struct model *model);
/* Something more to name. */
void vocabulary_add_port(struct vocabulary *vocabulary, uint16_t port);
void vocabulary_add_address(struct vocabulary *vocabulary, const struct weft_addr *addr);

/* One YAML document each, malloc'd. */
char *random_network_policy(struct random *random, const struct vocabulary *vocabulary, const char *namespace, const char *name);
char *random_authorization_policy(struct random *random, const struct vocabulary *vocabulary, const char *namespace,
				  const char *name);

#endif
