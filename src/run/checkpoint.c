#include "run/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"

/* Calls for every tensor of a checkpoint: the network's own (slot -1), then the optimizer's. */
static int stored_count(const struct trainer *trainer, bool optimizer) {
    int trained = 0;
    for (int i = 0; i < trainer->net.tensor_count; i++)
        trained += trainer->net.tensors[i]->trained;
    return trainer->net.tensor_count + (optimizer ? trainer->optimizer->slots * trained : 0);
}

static const char *stored_name(struct arena *arena, const struct trainer *trainer, const struct tensor *tensor,
                               int slot) {
    if (slot < 0)
        return tensor->name;
    return arena_printf(arena, "optimizer.%s.%s", trainer->optimizer->slot_names[slot], tensor->name);
}

/* Where a tensor, or its optimizer state, lies in memory. */
static real *stored_place(const struct trainer *trainer, const struct tensor *tensor, int slot) {
    return slot < 0 ? tensor->value : trainer->slots[slot] + tensor->offset;
}

static struct stored_tensor describe(const struct tensor *tensor, const char *name, const real *data) {
    struct stored_tensor stored = {.name = name, .dims = tensor->dims, .data = data};
    for (int d = 0; d < tensor->dims; d++)
        stored.shape[d] = tensor->shape[d];
    return stored;
}

/* --- Saving ------------------------------------------------------------------------------------------------------ */

bool checkpoint_save(const char *path, const struct trainer *trainer, struct best_test best, struct error *err) {
    const struct model *net = &trainer->net;
    struct arena arena = {0};
    int count = stored_count(trainer, true), next = 0;
    struct stored_tensor *tensors = arena_alloc(&arena, (size_t)count * sizeof *tensors);
    for (int slot = -1; slot < trainer->optimizer->slots; slot++) {
        for (int i = 0; i < net->tensor_count; i++) {
            const struct tensor *tensor = net->tensors[i];
            if (slot >= 0 && !tensor->trained)
                continue;
            real *stored = arena_alloc(&arena, tensor->count * sizeof *stored);
            tensor_to_stored(stored, tensor, stored_place(trainer, tensor, slot));
            tensors[next++] = describe(tensor, stored_name(&arena, trainer, tensor, slot), stored);
        }
    }
    struct text spec = {0};
    experiment_emit(&spec, trainer->experiment);
    const struct stored_text texts[] = {
        {"version", SPHERENET_VERSION},
        {"iteration", arena_printf(&arena, "%" PRId64, trainer->iteration)},
        {"best_iteration", arena_printf(&arena, "%" PRId64, best.iteration)},
        {"best_accuracy", arena_printf(&arena, "%.17g", best.accuracy)},
        {"spec", spec.data},
    };
    bool good = tensor_file_write(path, tensors, count, texts, sizeof texts / sizeof *texts, err);
    text_free(&spec);
    arena_free(&arena);
    return good;
}

/* --- Loading ----------------------------------------------------------------------------------------------------- */

static const char *need_text(const struct tensor_file *file, const char *path, const char *key, struct error *err) {
    const char *text = tensor_file_text(file, key);
    if (!text)
        error_set(err, "%s: not a spherenet checkpoint: its metadata has no \"%s\"", path, key);
    return text;
}

bool checkpoint_open(const char *operand, char *path, struct tensor_file *file, struct error *err) {
    if (!run_dir_resolve(operand, path, err))
        return false;
    if (tensor_file_read(file, path, err))
        return true;
    struct error why = *err;
    if (strcmp(operand, path) && strstr(why.text, ": damaged: "))
        error_set(err, "%s\n  give the path of an older checkpoint of the run, if it has kept one", why.text);
    return false;
}

const char *checkpoint_spec(const struct tensor_file *file, const char *path, struct error *err) {
    return need_text(file, path, "spec", err);
}

static bool read_integer(const struct tensor_file *file, const char *path, const char *key, int64_t lowest,
                         int64_t *value, struct error *err) {
    const char *text = need_text(file, path, key, err);
    char *end;
    if (!text)
        return false;
    *value = strtoll(text, &end, 10);
    return (*text && !*end && *value >= lowest) ||
           error_set_code(err, ERROR_DAMAGED, "%s: damaged: %s is \"%.40s\"", path, key, text);
}

bool checkpoint_progress(const struct tensor_file *file, const char *path, int64_t *iteration, struct best_test *best,
                         struct error *err) {
    const char *accuracy = need_text(file, path, "best_accuracy", err);
    if (!accuracy || !read_integer(file, path, "iteration", 0, iteration, err) ||
        !read_integer(file, path, "best_iteration", -1, &best->iteration, err))
        return false;
    best->accuracy = strtod(accuracy, NULL);
    return true;
}

static bool same_shape(const struct stored_tensor *a, const struct stored_tensor *b) {
    return a->dims == b->dims && !memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape);
}

static const char *shape_text(struct arena *arena, const struct stored_tensor *tensor) {
    const char *text = "";
    for (int d = 0; d < tensor->dims; d++)
        text = arena_printf(arena, "%s%s%" PRId64, text, d ? ", " : "", tensor->shape[d]);
    return text;
}

/* What keeps the stored tensor (NULL: there is none) from taking the place of the wanted one; NULL: nothing. */
static const char *difference(struct arena *arena, const struct stored_tensor *stored,
                              const struct stored_tensor *wanted) {
    if (!stored)
        return arena_printf(arena, "has no tensor \"%s\", which the network needs", wanted->name);
    if (!same_shape(stored, wanted))
        return arena_printf(arena, "tensor \"%s\" has shape [%s], the network's has [%s]", wanted->name,
                            shape_text(arena, stored), shape_text(arena, wanted));
    return NULL;
}

static bool load_tensor(const struct tensor_file *file, const char *path, const struct trainer *trainer,
                        const struct tensor *tensor, int slot, struct error *err) {
    struct arena arena = {0};
    const char *name = stored_name(&arena, trainer, tensor, slot);
    struct stored_tensor wanted = describe(tensor, name, NULL);
    const struct stored_tensor *stored = tensor_file_find(file, name);
    const char *different = difference(&arena, stored, &wanted);
    if (different)
        error_set(err, "%s: %s", path, different);
    else
        tensor_from_stored(stored_place(trainer, tensor, slot), tensor, stored->data);
    arena_free(&arena);
    return !different;
}

bool checkpoint_load(const struct tensor_file *file, const char *path, struct trainer *trainer, bool optimizer,
                     struct error *err) {
    for (int slot = -1; slot < (optimizer ? trainer->optimizer->slots : 0); slot++) {
        for (int i = 0; i < trainer->net.tensor_count; i++) {
            const struct tensor *tensor = trainer->net.tensors[i];
            if ((slot < 0 || tensor->trained) && !load_tensor(file, path, trainer, tensor, slot, err))
                return false;
        }
    }
    if (optimizer && file->tensor_count != stored_count(trainer, true))
        return error_set(err, "%s: has %d tensors, the network and its optimizer %d", path, file->tensor_count,
                         stored_count(trainer, true));
    return true;
}

/* --- Starting from another run's weights ------------------------------------------------------------------------- */

static bool is_of_layer(const char *tensor, const char *layer) {
    size_t length = layer ? strlen(layer) : 0;
    return length && !strncmp(tensor, layer, length) && tensor[length] == '.';
}

static bool is_of_network(const struct model *net, const char *name) {
    for (int i = 0; i < net->tensor_count; i++)
        if (!strcmp(net->tensors[i]->name, name))
            return true;
    return false;
}

/* One line for each difference between the file and the network. */
static void list_differences(struct error_list *list, const struct tensor_file *file, const struct model *net,
                             const char *drawn) {
    struct arena arena = {0};
    for (int i = 0; i < net->tensor_count; i++) {
        const struct stored_tensor wanted = describe(net->tensors[i], net->tensors[i]->name, NULL);
        const char *different = difference(&arena, tensor_file_find(file, wanted.name), &wanted);
        if (different && !is_of_layer(wanted.name, drawn))
            error_list_add(list, "%s", different);
    }
    for (int i = 0; i < file->tensor_count; i++) {
        const char *name = file->tensors[i].name;
        if (strncmp(name, "optimizer.", 10) && !is_of_network(net, name) && !is_of_layer(name, drawn))
            error_list_add(list, "has a tensor \"%.200s\", which the network has not", name);
    }
    arena_free(&arena);
}

static bool check_same_network(const struct tensor_file *file, const char *path, const struct model *net,
                               const char *drawn, struct error *err) {
    struct error_list list = {0};
    list_differences(&list, file, net, drawn);
    const char *differences = error_list_end(&list);
    bool same = !*differences;
    if (!same)
        error_set(err, "%s: cannot be started from, since its network is another; give the spec the same layers%s:%s",
                  path, drawn ? "" : ", or where only the last one differs, train.init_classifier: draw", differences);
    error_list_free(&list);
    return same;
}

bool checkpoint_initialise(const struct tensor_file *file, const char *path, struct trainer *trainer, const char *drawn,
                           struct error *err) {
    const struct model *net = &trainer->net;
    if (!check_same_network(file, path, net, drawn, err))
        return false;
    for (int i = 0; i < net->tensor_count; i++) {
        const struct tensor *tensor = net->tensors[i];
        if (!is_of_layer(tensor->name, drawn) && !load_tensor(file, path, trainer, tensor, -1, err))
            return false;
    }
    return true;
}
