#include "support/operators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op/sphere_op.h"
#include "spec/bind.h"
#include "support/suite.h"

int row_count(const struct registry *registry) {
    int count = 1; /* no registry is empty */
    while (registry->rows[count])
        count++;
    return count;
}

int operator_count(void) {
    return row_count(&angular_registry) * row_count(&magnitude_registry);
}

static const struct param *find_key(const struct param *params, const char *key) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++)
        if (!strcmp(p->key, key))
            return p;
    return NULL;
}

/* magnitude NULL: not named */
static const char *yaml_of(const struct kind *magnitude, const struct kind *angular, const char *keys) {
    static char text[256];
    const struct param *own = magnitude ? magnitude->params : NULL;
    char key[32], value[32];
    int length = snprintf(text, sizeof text, "{%s%s%sangular: %s", magnitude ? "magnitude: " : "",
                          magnitude ? magnitude->name : "", magnitude ? ", " : "", angular->name),
        taken;
    for (; sscanf(keys, ", %31[^:]: %31[^,]%n", key, value, &taken) == 2; keys += taken)
        if (find_key(sphere_operator_params, key) || find_key(own, key) || find_key(angular->params, key))
            length += snprintf(text + length, sizeof text - (size_t)length, ", %s: %s", key, value);
    ck_assert_msg(!*keys && length < (int)sizeof text - 1, "keys that are not understood: %s", keys);
    strcat(text, "}");
    return text;
}

const char *operator_yaml(int index, const char *keys) {
    int angulars = row_count(&angular_registry), magnitudes = row_count(&magnitude_registry);
    return yaml_of(magnitude_registry.rows[index / angulars % magnitudes], angular_registry.rows[index % angulars],
                   keys);
}

const char *angular_yaml(int index, const char *keys) {
    return yaml_of(NULL, angular_registry.rows[index], keys);
}

double row_number(struct choice row, const char *key, double otherwise) {
    const struct param *param = find_key(row.kind->params, key);
    return param ? *(const double *)(const void *)((const char *)row.config + param->offset) : otherwise;
}

/* --- Activations by themselves ----------------------------------------------------------------------------------- */

#define LEAST_OFFSET 0.01

struct section {
    struct choice angular;
};

static const struct param section_params[] = {
    ROW_KEY(struct section, angular, "angular", NULL, &angular_registry, "under test"),
    END_OF_KEYS,
};

static struct choice choose(struct arena *arena, const struct kind *kind, double shape) {
    struct section section;
    struct diagnostics diags = {0};
    char yaml[128];
    int length = snprintf(yaml, sizeof yaml, "angular: %s\n", kind->name);
    if (find_key(kind->params, "k"))
        snprintf(yaml + length, sizeof yaml - (size_t)length, "k: %.17g\n", shape);
    if (find_key(kind->params, "k_offset"))
        snprintf(yaml + length, sizeof yaml - (size_t)length, "k_offset: %g\n", LEAST_OFFSET);
    struct node *node = yaml_read(arena, "test", yaml, strlen(yaml), &diags);
    ck_assert_msg(node != NULL, "%s: %s", yaml, diags.text.data);
    spec_bind(arena, &section, section_params, node, "", &diags);
    ck_assert_msg(!diags.count, "%s: %s", yaml, diags.text.data);
    return section.angular;
}

void lone_angular_open(struct lone_angular *lone, const struct angular_type *type, const double *shapes, int filters) {
    *lone = (struct lone_angular){0};
    struct planner planner = {.arena = &lone->arena, .batch = 1, .threads = 1};
    lone->angular = angular_chosen(choose(&lone->arena, &type->kind, shapes[0]));
    angular_plan(&lone->angular, &planner, "lone", filters);
    plan_use_kept(&planner, NULL);
    ck_assert(plan_allocate(&planner, &lone->memory));
    for (int i = 0; i < planner.tensor_count; i++) {
        const struct tensor *tensor = planned_tensor(&planner, i);
        for (size_t f = 0; f < tensor->count; f++)
            tensor->value[f] = (real)(shapes[f] - LEAST_OFFSET);
    }
    angular_prepare(&lone->angular);
}

void lone_angular_close(struct lone_angular *lone) {
    free(lone->memory.block);
    arena_free(&lone->arena);
}
