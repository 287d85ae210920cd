/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/run.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct addition {
	enum run_layer layer;
	uint32_t id;
	struct port_range range;
};

struct run {
	struct addition *additions;
	size_t addition_count, addition_room;
	/* the axis is cut where any range begins or ends; cell i is [cuts[i], cuts[i + 1]) */
	uint32_t *cuts;
	size_t cut_count;
	uint32_t *owners[RUN_LAYERS]; /* by cell: the first rule that covers it, 0: none */
	uint32_t *next_free;	      /* by cell: a cell at or after it that the layer at hand has not given away yet */
	struct weft_rule *rules;
	size_t rule_count, cell_room;
};

int run_new(struct run **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	for (size_t i = 0; i < RUN_LAYERS; i++)
		free(run->owners[i]);
	free(run->next_free);
	free(run->cuts);
	free(run->rules);
	free(run->additions);
	free(run);
}

void run_start(struct run *run) { run->addition_count = 0; }

int run_add(struct run *run, enum run_layer layer, uint32_t id, const struct port_range *range)
{
	if (run->addition_count == run->addition_room) {
		size_t room = run->addition_room ? run->addition_room * 2 : 64;
		struct addition *grown = realloc(run->additions, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		run->additions = grown;
		run->addition_room = room;
	}
	run->additions[run->addition_count++] = (struct addition){ layer, id, *range };
	return 0;
}

static int grow(uint32_t **array, size_t room)
{
	uint32_t *grown = realloc(*array, room * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

static int reserve_cells(struct run *run, size_t cells)
{
	struct weft_rule *rules;
	int error = 0;

	if (cells <= run->cell_room)
		return 0;
	for (size_t i = 0; i < RUN_LAYERS; i++)
		error |= grow(&run->owners[i], cells);
	error |= grow(&run->next_free, cells);
	error |= grow(&run->cuts, cells);
	rules = realloc(run->rules, cells * sizeof(*rules));
	if (rules)
		run->rules = rules;
	if (error || !rules)
		return -ENOMEM;
	run->cell_room = cells;
	return 0;
}

static int compare_cuts(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* The protocols that AuthorizationPolicy is about: what has ports. ICMP and the like are NetworkPolicy's alone. */
static const uint8_t authorized_protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };

static bool is_authorized_protocol(uint32_t start)
{
	for (size_t i = 0; i < sizeof(authorized_protocols); i++)
		if (start >> 16 == authorized_protocols[i])
			return true;
	return false;
}

static int cut_axis(struct run *run)
{
	size_t count = 0, unique = 0;

	if (reserve_cells(run, run->addition_count * 2 + sizeof(authorized_protocols) * 2 + 2) < 0)
		return -ENOMEM;
	run->cuts[count++] = 0;
	for (size_t i = 0; i < sizeof(authorized_protocols); i++) {
		run->cuts[count++] = run_start_of(authorized_protocols[i], 0);
		run->cuts[count++] = run_start_of(authorized_protocols[i], UINT16_MAX) + 1;
	}
	for (size_t i = 0; i < run->addition_count; i++) {
		run->cuts[count++] = run->additions[i].range.first;
		run->cuts[count++] = run->additions[i].range.last + 1;
	}
	qsort(run->cuts, count, sizeof(*run->cuts), compare_cuts);
	for (size_t i = 0; i < count && run->cuts[i] < RUN_END; i++)
		if (!unique || run->cuts[unique - 1] != run->cuts[i])
			run->cuts[unique++] = run->cuts[i];
	run->cut_count = unique;
	return 0;
}

static size_t cell_at(const struct run *run, uint32_t cut)
{
	size_t low = 0, high = run->cut_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (run->cuts[middle] <= cut)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The first cell at or after `cell` without an owner; shortens the way for the next who asks. */
static size_t next_free(struct run *run, size_t cell)
{
	while (run->next_free[cell] != cell) {
		run->next_free[cell] = run->next_free[run->next_free[cell]];
		cell = run->next_free[cell];
	}
	return cell;
}

static void paint_layer(struct run *run, enum run_layer layer)
{
	uint32_t *owners = run->owners[layer];

	memset(owners, 0, run->cut_count * sizeof(*owners));
	for (size_t i = 0; i <= run->cut_count; i++)
		run->next_free[i] = (uint32_t)i;
	for (size_t i = 0; i < run->addition_count; i++) {
		const struct addition *addition = &run->additions[i];
		size_t cell;

		if (addition->layer != layer)
			continue;
		cell = next_free(run, cell_at(run, addition->range.first));
		for (; cell < run->cut_count && run->cuts[cell] <= addition->range.last; cell = next_free(run, cell)) {
			owners[cell] = addition->id;
			run->next_free[cell] = (uint32_t)cell + 1;
		}
	}
}

struct verdict {
	bool allowed;
	uint32_t rule; /* 0: allowed because nothing is said */
};

static struct verdict authorize(uint32_t deny, uint32_t allow, uint32_t must_allow)
{
	if (deny)
		return (struct verdict){ false, deny };
	if (must_allow && !allow)
		return (struct verdict){ false, must_allow };
	return (struct verdict){ true, allow };
}

/* What the policies in force say, and what would change if those in dry run were in force too. */
static void decide_authorization(const struct run *run, const struct run_terms *terms, size_t cell,
				 struct weft_rule *rule)
{
	uint32_t deny = run->owners[RUN_DENY][cell], allow = run->owners[RUN_ALLOW][cell];
	uint32_t dry_deny = run->owners[RUN_DRY_DENY][cell], dry_allow = run->owners[RUN_DRY_ALLOW][cell];
	struct verdict actual = authorize(deny, allow, terms->allow);
	struct verdict dry = authorize(deny ? deny : dry_deny, allow ? allow : dry_allow,
				       terms->allow ? terms->allow : terms->dry_allow);

	if (!actual.allowed) {
		rule->id = actual.rule;
		rule->reason = WEFT_REASON_AUTHORIZATION_DENIED;
	} else if (rule->id == WEFT_RULE_OPEN && actual.rule) {
		rule->id = actual.rule;
	}
	if (actual.allowed != dry.allowed) {
		rule->flags |= dry.allowed ? WEFT_RULE_WOULD_ALLOW : WEFT_RULE_WOULD_DENY;
		rule->audit_id = dry.rule;
	}
	if (run->owners[RUN_AUDIT][cell]) {
		rule->flags |= WEFT_RULE_AUDIT;
		rule->audit_id = rule->audit_id ? rule->audit_id : run->owners[RUN_AUDIT][cell];
	}
}

/*
 * Both kinds of policy must allow. The rule that is named is the NetworkPolicy's where one isolates the subject, else
 * the AuthorizationPolicy's.
 */
static struct weft_rule decide(const struct run *run, const struct run_terms *terms, size_t cell)
{
	struct weft_rule rule = { .start = run->cuts[cell], .id = WEFT_RULE_OPEN };

	if (terms->isolated_by)
		rule.id = run->owners[RUN_NETWORK][cell];
	if (!rule.id) {
		rule.id = terms->isolated_by;
		rule.reason = WEFT_REASON_POLICY_DENIED;
		return rule;
	}
	if (is_authorized_protocol(rule.start))
		decide_authorization(run, terms, cell, &rule);
	return rule;
}

static bool same_decision(const struct weft_rule *a, const struct weft_rule *b)
{
	return a->id == b->id && a->audit_id == b->audit_id && a->reason == b->reason && a->flags == b->flags;
}

int run_build(struct run *run, const struct run_terms *terms, const struct weft_rule **ret_rules, size_t *ret_count)
{
	int result = 0;

	if (cut_axis(run) < 0)
		return -ENOMEM;
	for (size_t layer = 0; layer < RUN_LAYERS; layer++)
		paint_layer(run, layer);
	run->rule_count = 0;
	for (size_t cell = 0; cell < run->cut_count; cell++) {
		struct weft_rule rule = decide(run, terms, cell);

		if (run->rule_count && same_decision(&rule, &run->rules[run->rule_count - 1]))
			continue;
		if (run->rule_count == WEFT_RULES_MAX_RUN) {
			run->rules[run->rule_count - 1] = (struct weft_rule){
				.start = run->rules[run->rule_count - 1].start,
				.id = WEFT_RULE_ISOLATED,
				.reason = WEFT_REASON_POLICY_DENIED,
			};
			result = -E2BIG;
			break;
		}
		run->rules[run->rule_count++] = rule;
	}
	*ret_rules = run->rules;
	*ret_count = run->rule_count;
	return result;
}
