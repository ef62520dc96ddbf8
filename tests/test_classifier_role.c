/* Which group of parameters the penalties count a classifier's weights to. */
#include <string.h>

#include "support/suite.h"
#include "train/trainer.h"

#define NETWORK(KEYS)                                                                                                  \
    "data: {type: synthetic, height: 8, width: 8, classes: 3, train_images: 3}\n"                                      \
    "train: {iterations: 1, batch_size: 3}\n"                                                                          \
    "network: {" KEYS "}\n"

#define PLAIN(KEYS) NETWORK("type: plain, depth: 3, widths: [4, 4, 4], features: 4" KEYS)
#define HIDDEN                                                                                                         \
    NETWORK("type: layers, layers: [{type: dense, name: score, units: 3, operator: {magnitude: linear}}, "             \
            "{type: dense, units: 3}]")
#define LAYERS(KEYS) NETWORK("type: layers, layers: [{type: flatten}, {type: dense, name: score, units: 3" KEYS "}]")

static const struct {
    const char *spec;
    enum tensor_role role;
} cases[] = {
    {PLAIN(""), ROLE_WEIGHT},
    {PLAIN("") "loss: w_softmax\n", ROLE_WEIGHT},
    {PLAIN(", classifier_operator: {magnitude: linear}"), ROLE_WEIGHT},
    {PLAIN(", classifier_operator: {magnitude: sphere, angular: linear}"), ROLE_WEIGHT},
    {PLAIN(", classifier_operator: {magnitude: tanh}"), ROLE_WEIGHT},
    {NETWORK("type: resnet, depth: 8, widths: [4, 4, 4], classifier_operator: {magnitude: linear}"), ROLE_WEIGHT},
    {LAYERS(""), ROLE_WEIGHT},
    {LAYERS(", bias: false") "loss: w_softmax\n", ROLE_WEIGHT},
    {LAYERS(", operator: {magnitude: linear}"), ROLE_WEIGHT},
    {HIDDEN, ROLE_SPHERE_WEIGHT},
};

START_TEST(the_last_dense_layer_is_in_the_group_weights_whatever_its_operator) {
    struct experiment experiment;
    struct model model;
    struct loss loss;
    struct diagnostics diags = {0};
    const struct tensor *weights = NULL;
    bool planned = experiment_parse(&experiment, "test", cases[_i].spec, NULL, 0, &diags) &&
                   experiment_plan(&experiment, STEP_TRAIN, &model, &loss, &diags);
    ck_assert_msg(planned, "%s", diags.text.data);
    for (int i = 0; i < model.tensor_count; i++)
        if (strcmp(model.tensors[i]->name, "score.weight") == 0)
            weights = model.tensors[i];
    ck_assert_ptr_nonnull(weights);
    ck_assert_int_eq((int)weights->role, (int)cases[_i].role);
    ck_assert(penalty_decays(&experiment.regularizer, weights) == (cases[_i].role == ROLE_WEIGHT));
    model_free(&model);
    experiment_free(&experiment);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("classifier_role");
    TCase *roles = suite_group(suite, "roles", 60, NULL, NULL);
    tcase_add_loop_test(roles, the_last_dense_layer_is_in_the_group_weights_whatever_its_operator, 0, COUNT(cases));
    return suite;
}
