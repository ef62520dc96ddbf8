#include "model/head.h"

#include <math.h>
#include <string.h>

static bool can_put_out_cosines(const char *loss, struct choice last, struct diagnostics *diags) {
    const struct dense_config *config = last.config;
    if (last.kind != &layer_dense.kind)
        diagnose(diags, last.source, last.line, last.path,
                 "the loss %s needs a dense layer at the end, whose weights are the classes'; the last one is %s", loss,
                 last.kind->name);
    else if (config->bias)
        diagnose(diags, last.source, last.line, last.path,
                 "the loss %s looks at angles alone, so its classifier has no bias: leave out "
                 "network.classifier_bias, or give the last of network.layers bias: false",
                 loss);
    else if (!operator_ordinary(&config->operation))
        diagnose(diags, last.source, last.line, last.path,
                 "the loss %s normalises its classifier by itself: leave out network.classifier_operator, or the "
                 "operator of the last of network.layers",
                 loss);
    else
        return true;
    return false;
}

bool head_choose(const struct head_request *request, struct arena *arena, const struct choice_list *layers,
                 struct choice_list *planned, struct diagnostics *diags) {
    struct choice last = layers->choices[layers->count - 1];
    bool cosines = request->kind == HEAD_COSINES;
    *planned = *layers;
    if (cosines && !can_put_out_cosines(request->loss, last, diags))
        return false;
    if (last.kind != &layer_dense.kind)
        return true;
    planned->choices = arena_alloc(arena, (size_t)layers->count * sizeof *planned->choices);
    memcpy(planned->choices, layers->choices, (size_t)layers->count * sizeof *planned->choices);
    planned->choices[layers->count - 1] = cosines ? dense_cosines(arena, last) : dense_scores(arena, last);
    return true;
}

void head_of(struct head *head, const struct layer *last) {
    struct classifier classifier = {0};
    dense_classifier(last, &classifier);
    head->name = last->name;
    head->classes = (int)shape_size(&last->out);
    head->width = classifier.width;
    head->weights = classifier.weights;
    head->lengths = classifier.lengths;
    head->lengths_gradient = classifier.lengths_gradient;
}

struct ranking head_ranking(const struct head *head, int image, int label) {
    const real *scores = head->scores + (size_t)image * (size_t)head->classes;
    struct ranking ranking = {0};
    for (int j = 0; j < head->classes; j++) {
        if (isnan(scores[j]))
            return ranking_none(head->classes);
        if (scores[j] > scores[ranking.best])
            ranking.best = j;
        ranking.above += scores[j] > scores[label];
    }
    return ranking;
}
