#include "run/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "data/class_names.h"
#include "data/contents.h"

/* Where a stored tensor lies in memory: its values, or what the optimizer has for them. */
struct place {
    const struct tensor *tensor;
    real *memory;
};

/* All tensors of a checkpoint, in its order. */
struct listing {
    int count;
    struct tensor_info *infos;
    struct place *places;
};

/* trainer NULL: the network's own tensors alone. */
static int stored_count(const struct model *model, const struct trainer *trainer) {
    int trained = 0;
    for (int i = 0; i < model->tensor_count; i++)
        trained += model->tensors[i]->trained;
    return model->tensor_count + (trainer ? trainer->optimizer->slots * trained : 0);
}

static struct tensor_info describe(const struct tensor *tensor, const char *name) {
    struct tensor_info info = {.name = name, .dims = tensor->dims};
    for (int d = 0; d < tensor->dims; d++)
        info.shape[d] = tensor->shape[d];
    return info;
}

static void list_slot(struct arena *arena, struct listing *list, const struct trainer *trainer, int slot) {
    for (int i = 0; i < trainer->model.tensor_count; i++) {
        const struct tensor *tensor = trainer->model.tensors[i];
        if (!tensor->trained)
            continue;
        const char *name = arena_printf(arena, "optimizer.%s.%s", trainer->optimizer->slot_names[slot], tensor->name);
        list->infos[list->count] = describe(tensor, name);
        list->places[list->count++] = (struct place){tensor, trainer->slots[slot] + tensor->offset};
    }
}

/* The network's own tensors and, of a trainer that is not NULL, the optimizer's state. */
static struct listing list_tensors(struct arena *arena, const struct model *model, const struct trainer *trainer) {
    size_t count = (size_t)stored_count(model, trainer);
    struct listing list = {.infos = arena_alloc(arena, count * sizeof *list.infos),
                           .places = arena_alloc(arena, count * sizeof *list.places)};
    for (int i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = model->tensors[i];
        list.infos[list.count] = describe(tensor, tensor->name);
        list.places[list.count++] = (struct place){tensor, tensor->value};
    }
    for (int slot = 0; trainer && slot < trainer->optimizer->slots; slot++)
        list_slot(arena, &list, trainer, slot);
    return list;
}

/* --- Saving ------------------------------------------------------------------------------------------------------ */

static void give(const void *context, int tensor, size_t first, size_t count, real *values) {
    const struct place *places = context;
    tensor_to_stored(values, places[tensor].tensor, places[tensor].memory, first, count);
}

bool checkpoint_save(const char *path, const struct trainer *trainer, const struct dataset *dataset,
                     struct best_test best, struct error *err) {
    struct arena arena = {0};
    struct listing list = list_tensors(&arena, &trainer->model, trainer);
    struct text spec = {0}, classes = {0};
    experiment_emit(&spec, trainer->experiment);
    class_names_list(&classes, dataset);
    const struct stored_text possible[] = {
        {"version", SPHERENET_VERSION},
        {"iteration", arena_printf(&arena, "%" PRId64, trainer->iteration)},
        {"best_iteration", arena_printf(&arena, "%" PRId64, best.iteration)},
        {"best_accuracy", arena_printf(&arena, "%.17g", best.accuracy)},
        {"spec", spec.data},
        {"classes", classes.data ? classes.data : ""},
        {"data", contents_text(&arena, dataset)},
    };
    struct stored_text texts[sizeof possible / sizeof *possible];
    int text_count = 0;
    for (size_t i = 0; i < sizeof possible / sizeof *possible; i++)
        if (*possible[i].value)
            texts[text_count++] = possible[i];
    struct tensor_contents contents = {list.infos, list.count, texts, text_count, give, list.places};
    bool good = safetensors_write(path, &contents, err);
    text_free(&spec);
    text_free(&classes);
    arena_free(&arena);
    return good;
}

/* --- Loading ----------------------------------------------------------------------------------------------------- */

static const char *need_text(const struct safetensors *file, const char *path, const char *key, struct error *err) {
    const char *text = safetensors_text(file, key);
    if (!text)
        error_set(err, "%s: not a spherenet checkpoint: its metadata has no \"%s\"", path, key);
    return text;
}

bool checkpoint_open(const char *operand, char *path, struct safetensors *file, struct error *err) {
    if (!run_dir_resolve(operand, path, err))
        return false;
    if (safetensors_open(file, path, err))
        return true;
    if (err->code != ERROR_DAMAGED || !strcmp(operand, path))
        return false;
    struct error why = *err;
    return error_set_code(err, why.code, "%s\n  give the path of an older checkpoint of the run, if it has kept one",
                          why.text);
}

const char *checkpoint_spec(const struct safetensors *file, const char *path, struct error *err) {
    return need_text(file, path, "spec", err);
}

bool checkpoint_classes_agree(const struct safetensors *file, const char *path, const struct dataset *dataset,
                              struct error *err) {
    const char *classes = safetensors_text(file, "classes");
    return !classes || class_names_agree(classes, path, dataset, err);
}

bool checkpoint_data_agree(const struct safetensors *file, const char *path, const struct dataset *dataset,
                           struct error *err) {
    return contents_agree(safetensors_text(file, "data"), path, dataset, err);
}

static bool read_integer(const struct safetensors *file, const char *path, const char *key, int64_t lowest,
                         int64_t *value, struct error *err) {
    const char *text = need_text(file, path, key, err);
    char *end;
    if (!text)
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return (*text && !*end && !errno && *value >= lowest) ||
           error_set_code(err, ERROR_DAMAGED, "%s: damaged: %s is \"%.40s\"", path, key, text);
}

bool checkpoint_progress(const struct safetensors *file, const char *path, int64_t *iteration, struct best_test *best,
                         struct error *err) {
    const char *accuracy = need_text(file, path, "best_accuracy", err);
    if (!accuracy || !read_integer(file, path, "iteration", 0, iteration, err) ||
        !read_integer(file, path, "best_iteration", -1, &best->iteration, err))
        return false;
    char *end;
    best->accuracy = strtod(accuracy, &end);
    return (*accuracy && !*end && best->accuracy >= 0 && best->accuracy <= 1) ||
           error_set_code(err, ERROR_DAMAGED, "%s: damaged: best_accuracy is \"%.40s\"", path, accuracy);
}

static bool same_shape(const struct tensor_info *a, const struct tensor_info *b) {
    return a->dims == b->dims && !memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape);
}

static const char *shape_text(struct arena *arena, const struct tensor_info *tensor) {
    const char *text = "";
    for (int d = 0; d < tensor->dims; d++)
        text = arena_printf(arena, "%s%s%" PRId64, text, d ? ", " : "", tensor->shape[d]);
    return text;
}

/* What keeps the file's tensor from taking the place of the wanted one, were it that there is none; NULL: nothing. */
static const char *difference(struct arena *arena, const struct safetensors *file, const struct tensor_info *wanted) {
    int found = safetensors_find(file, wanted->name);
    if (found < 0)
        return arena_printf(arena, "has no tensor \"%s\", which the network needs", wanted->name);
    const struct tensor_info *stored = &file->tensors[found];
    if (same_shape(stored, wanted))
        return NULL;
    return arena_printf(arena, "tensor \"%s\" has shape [%s], the network's has [%s]", wanted->name,
                        shape_text(arena, stored), shape_text(arena, wanted));
}

static bool check_tensors(struct arena *arena, const struct safetensors *file, const char *path,
                          const struct listing *list, struct error *err) {
    for (int i = 0; i < list->count; i++) {
        const char *different = difference(arena, file, &list->infos[i]);
        if (different)
            return error_set(err, "%s: %s", path, different);
    }
    return true;
}

/* layer NULL: none is. */
static bool is_drawn(const char *tensor, const char *layer) {
    return layer && tensor_is_of(tensor, layer);
}

/* NULL: it has none. */
static struct place *find_place(const struct listing *list, const char *name) {
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->infos[i].name, name))
            return &list->places[i];
    return NULL;
}

static void take(void *context, size_t first, size_t count, const real *values) {
    const struct place *place = context;
    tensor_from_stored(place->memory, place->tensor, values, first, count);
}

/* Reads the file's tensors straight to their places, in the file's order, but those of the layer that is drawn. */
static bool read_tensors(struct safetensors *file, const struct listing *list, const char *drawn, struct error *err) {
    for (int i = 0; i < file->tensor_count; i++) {
        struct place *place = find_place(list, file->tensors[i].name);
        if (place && !is_drawn(file->tensors[i].name, drawn) && !safetensors_read(file, i, take, place, err))
            return false;
    }
    return true;
}

/* Of a trainer that is not NULL, its optimizer's state, too. */
static bool load(struct safetensors *file, const char *path, struct model *model, const struct trainer *trainer,
                 struct error *err) {
    struct arena arena = {0};
    struct listing list = list_tensors(&arena, model, trainer);
    bool good = check_tensors(&arena, file, path, &list, err);
    if (good && trainer && file->tensor_count != list.count)
        good = error_set(err, "%s: has %d tensors, the network and its optimizer %d", path, file->tensor_count,
                         list.count);
    good = good && read_tensors(file, &list, NULL, err);
    arena_free(&arena);
    return good;
}

bool checkpoint_load(struct safetensors *file, const char *path, struct trainer *trainer, struct error *err) {
    return load(file, path, &trainer->model, trainer, err);
}

bool checkpoint_load_weights(struct safetensors *file, const char *path, struct model *model, struct error *err) {
    return load(file, path, model, NULL, err);
}

/* --- Starting from another run's weights ------------------------------------------------------------------------- */

/* One line for each difference between the file and the network. */
static void list_differences(struct error_list *differences, const struct safetensors *file, const struct listing *list,
                             const char *drawn) {
    struct arena arena = {0};
    for (int i = 0; i < list->count; i++) {
        const char *different = difference(&arena, file, &list->infos[i]);
        if (different && !is_drawn(list->infos[i].name, drawn))
            error_list_add(differences, "%s", different);
    }
    for (int i = 0; i < file->tensor_count; i++) {
        const char *name = file->tensors[i].name;
        if (strncmp(name, "optimizer.", 10) && !find_place(list, name) && !is_drawn(name, drawn))
            error_list_add(differences, "has a tensor \"%.200s\", which the network has not", name);
    }
    arena_free(&arena);
}

static bool check_same_network(const struct safetensors *file, const char *path, const struct listing *list,
                               const char *drawn, struct error *err) {
    struct error_list differences = {0};
    list_differences(&differences, file, list, drawn);
    const char *text = error_list_end(&differences);
    bool same = !*text;
    if (!same)
        error_set(err, "%s: cannot be started from, since its network is another; give the spec the same layers%s:%s",
                  path, drawn ? "" : ", or where only the last one differs, train.init_classifier: draw", text);
    error_list_free(&differences);
    return same;
}

bool checkpoint_initialise(struct safetensors *file, const char *path, struct model *model, const char *drawn,
                           struct error *err) {
    struct arena arena = {0};
    struct listing list = list_tensors(&arena, model, NULL);
    bool good = check_same_network(file, path, &list, drawn, err) && read_tensors(file, &list, drawn, err);
    arena_free(&arena);
    return good;
}
