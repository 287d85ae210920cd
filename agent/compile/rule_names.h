/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_RULE_NAMES_H
#define WEFT_COMPILE_RULE_NAMES_H
/* The numbers of policy rules (weft_rule.id) and what they stand for. */
#include "compile/names.h"

struct rule_names;

int rule_names_new(struct rule_names **ret);
void rule_names_free(struct rule_names *names);
/*
 * The number of a rule, with one user more. `index` from 0; -1: the policy as a whole, which is what decides where it
 * applies and no rule matches. 0: no memory.
 */
uint32_t rule_names_get(struct rule_names *names, enum rule_kind kind, const char *namespace, const char *name,
			enum weft_direction direction, int index);
void rule_names_put(struct rule_names *names, uint32_t id);
/* Forgets numbers that have been out of use for NAMES_KEEP_SECONDS. Cost proportional to the number of rules. */
void rule_names_settle(struct rule_names *names);
/* NULL if the number stands for nothing (any more). Built-in rules too. */
const struct rule_info *rule_names_find(const struct rule_names *names, uint32_t id);

#endif
