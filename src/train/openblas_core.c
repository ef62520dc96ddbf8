#include "train/openblas_core.h"

#include <stdio.h>
#include <string.h>

#include "machine/openblas.h"

#define KEY "train.openblas_core"

static bool is_auto(const char *wish) {
    return !strcmp(wish, "auto");
}

void blas_core_diagnose(const char *wish, const struct node *root, struct diagnostics *diags) {
    const struct node *train = node_get(root, "train"), *node = train ? node_get(train, "openblas_core") : NULL;
    if (!node || node->type != NODE_SCALAR || blas_core_known(wish))
        return;
    struct text message = {0};
    const char *nearest = blas_core_nearest(wish);
    text_printf(&message, nearest ? "did you mean \"%s\"? (" : "expected one of (", nearest);
    blas_core_list(&message);
    diagnose(diags, node->source, node->line, KEY, "unknown value \"%.60s\"; %s)", wish, message.data);
    text_free(&message);
}

bool blas_core_check(const char *wish, struct error *err) {
    struct error reason;
    struct text list = {0};
    if (is_auto(wish))
        return blas_environment_runs(err);
    if (blas_core_runs(wish, &reason))
        return true;
    blas_core_list(&list);
    error_set(err, KEY ": %s; this machine can use %s", reason.text, list.data);
    text_free(&list);
    return false;
}

const char *blas_core_warning(const char *wish) {
    static char line[1024];
    struct blas_problem problem;
    struct text advice = {0};
    if (!is_auto(wish) || !blas_problem(&problem))
        return NULL;
    if (problem.remedy)
        text_printf(&advice, "%s%s", problem.remedy, problem.faster ? ", or " : "");
    if (problem.faster)
        text_printf(&advice, "give --set " KEY "=%s", problem.faster);
    snprintf(line, sizeof line, "%s; %s", problem.reason, advice.data);
    text_free(&advice);
    return line;
}
