#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "data/dataset.h"
#include "family/family.h"
#include "layer/layer.h"
#include "loss/loss.h"
#include "op/sphere_op.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

static const struct {
    const char *name;
    const struct registry *registries[2];
} lists[] = {
    {"operators", {&magnitude_registry, &angular_registry}},
    {"layers", {&layer_registry}},
    {"losses", {&loss_registry}},
    {"networks", {&network_registry}},
    {"datasets", {&dataset_registry}},
    {"augmentations", {&augmentation_registry}},
    {"optimizers", {&optimizer_registry}},
    {"schedules", {&schedule_registry}},
};

enum { LISTS = sizeof lists / sizeof *lists };

static void print_list(size_t index) {
    printf("%s\n", lists[index].name);
    for (int r = 0; r < 2 && lists[index].registries[r]; r++) {
        const struct registry *registry = lists[index].registries[r];
        if (lists[index].registries[1])
            printf(" %s\n", registry->noun);
        for (const struct kind *const *row = registry->rows; *row; row++)
            printf("  %-18s  %s\n", (*row)->name, (*row)->help);
    }
}

static enum exit_status run(int operand_count, const char *const *operands) {
    const char *names[LISTS];
    bool found = operand_count == 0;
    for (size_t i = 0; i < LISTS; i++) {
        names[i] = lists[i].name;
        if (operand_count && strcmp(lists[i].name, operands[0]))
            continue;
        print_list(i);
        found = true;
    }
    if (found)
        return EXIT_DONE;
    const char *nearest = text_nearest(operands[0], names, LISTS);
    fprintf(stderr, "spherenet list: no list \"%s\"%s%s%s; there are", operands[0], nearest ? "; did you mean \"" : "",
            nearest ? nearest : "", nearest ? "\"?" : "");
    for (size_t i = 0; i < LISTS; i++)
        fprintf(stderr, "%s %s", i ? "," : "", names[i]);
    fprintf(stderr, "\n");
    return EXIT_USAGE;
}

const struct command command_list = {
    .name = "list",
    .operands = "[operators|layers|losses|networks|datasets|augmentations|optimizers|schedules]",
    .summary = "Print what a spec can name.",
    .most_operands = 1,
    .run = run,
};
