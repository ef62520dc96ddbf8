/* Pictures in files: a folder for each class, or a list. */
#include "data/dataset_images.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/number.h"
#include "data/class_names.h"
#include "data/image_reader.h"
#include "data/image_store.h"

/* --- Describing -------------------------------------------------------------------------------------------------- */

static bool check(const struct images_config *config, struct error *err) {
    size_t bytes;
    if (!image_cache_parse(config->cache, &bytes))
        return error_set(err, "data.cache is \"%.60s\"; it is a size such as 500M or 2G, 0 for none, or auto",
                         config->cache);
    if (config->channels == 2)
        return error_set(err, "data.channels is 2; pictures have 1 (grey) or 3 (red, green and blue)");
    if (!*config->path == !*config->list)
        return error_set(err,
                         "one of data.path (a folder of pictures) and data.list (a file that lists them) is "
                         "needed, %s",
                         *config->path ? "not both" : "and neither is given");
    return true;
}

/* Classes and splits, from folders or from the list. The index holds the list's files. */
static bool find_layout(struct image_layout *layout, struct image_index *index, struct arena *arena,
                        const struct images_config *config, struct error *err) {
    *index = (struct image_index){0};
    return *config->list ? image_index_read_list(index, layout, arena, config->list, err)
                         : image_layout_find(layout, arena, config->path, err);
}

static bool take_classes(struct dataset *dataset, const struct image_layout *layout, const struct images_config *config,
                         struct error *err) {
    if (config->classes && config->classes != layout->class_count)
        return error_set(err, "data.classes is %d, but there are %d", config->classes, layout->class_count);
    const char **names = arena_alloc(&dataset->memory, (size_t)layout->class_count * sizeof *names);
    for (int i = 0; i < layout->class_count; i++)
        names[i] = class_names_shown(&dataset->memory, layout->classes[i]);
    dataset->classes = layout->class_count;
    dataset->class_names = names;
    return true;
}

/* Where the files are not there, the number of classes is that of the configuration. */
static bool describe(struct dataset *dataset, const void *config, struct error *err) {
    const struct images_config *settings = config;
    struct image_layout layout;
    struct image_index index;
    struct arena arena = {0};
    dataset->height = settings->height;
    dataset->width = settings->width;
    dataset->channels = settings->channels;
    dataset->classes = settings->classes;
    if (!check(settings, err))
        return false;
    image_cache_parse(settings->cache, &dataset->cache_bytes);
    if (dataset->cache_bytes == IMAGE_CACHE_AUTO)
        dataset->cache_bytes = 0; /* takes what is left over */
    bool found = find_layout(&layout, &index, &arena, settings, err);
    bool good =
        found ? take_classes(dataset, &layout, settings, err) : settings->classes > 0 && !error_is_of_machine(err);
    dataset->stores_validation = found && layout.has_validation;
    image_index_free(&index);
    arena_free(&arena);
    return good;
}

static bool resolve(void *config, struct error *err) {
    struct images_config *settings = config;
    struct dataset described = {0};
    bool good = describe(&described, settings, err);
    if (good)
        settings->classes = described.classes;
    arena_free(&described.memory);
    return good;
}

/* --- Loading ----------------------------------------------------------------------------------------------------- */

static void remark_on_foreign(struct dataset *dataset, const struct image_index *index) {
    struct text first = {0};
    if (!index->foreign)
        return;
    text_printf(&first, "%s", index->names + index->first_foreign);
    text_defuse_line(first.data);
    dataset->remark =
        arena_printf(&dataset->memory, "%d file%s passed over whose names are no pictures', the first: %s",
                     index->foreign, index->foreign == 1 ? " was" : "s were", first.data);
    text_free(&first);
}

static bool find_in_folders(struct image_index *index, const char *root, const struct image_layout *layout,
                            struct error *err) {
    if (image_store_recall(index, root, layout))
        return true;
    if (!image_index_scan(index, root, layout, err))
        return false;
    image_store_keep(index, layout);
    return true;
}

/* All files of all splits. */
static bool find_files(struct dataset *dataset, struct images *images, uint64_t seed, struct error *err) {
    const struct images_config *config = &images->config;
    struct image_index *index = &images->index;
    struct image_layout layout;
    struct arena arena = {0};
    bool good = find_layout(&layout, index, &arena, config, err) && take_classes(dataset, &layout, config, err) &&
                (*config->list || find_in_folders(index, config->path, &layout, err));
    if (good && !layout.divided)
        image_index_divide(index, layout.class_count, config->test_share, seed);
    if (good)
        remark_on_foreign(dataset, index);
    arena_free(&arena);
    return good;
}

/* How many images of a class are taken so that `limit` is reached but not passed when each class gives as many as it
 * has up to that number. */
static int level_of(const int *counts, int classes, int limit) {
    int low = 0, high = limit;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        int64_t sum = 0;
        for (int c = 0; c < classes; c++)
            sum += smaller(counts[c], middle);
        if (sum <= limit)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Which files are the split's, at most `limit` of them: the first ones of each class, as many of each as there are and
 * the limit allows. Where it allows one more of some classes, those come first. */
static void choose_files(struct dataset *dataset, struct images *images, int split, int limit) {
    const struct image_index *index = &images->index;
    struct split *chosen = &dataset->splits[split];
    int *counts = mem_alloc((size_t)dataset->classes * sizeof *counts);
    int *taken = mem_alloc((size_t)dataset->classes * sizeof *taken);
    for (int i = 0; i < index->count; i++)
        counts[index->files[i].label] += index->files[i].split == split;
    int level = level_of(counts, dataset->classes, limit), extra = limit;
    for (int c = 0; c < dataset->classes; c++)
        extra -= smaller(counts[c], level);
    for (int c = 0; c < dataset->classes; c++) {
        bool one_more = counts[c] > level && extra > 0;
        counts[c] = smaller(counts[c], level) + one_more;
        extra -= one_more;
    }
    for (int i = 0; i < index->count; i++) {
        const struct image_file *file = &index->files[i];
        if (file->split != split || taken[file->label] == counts[file->label])
            continue;
        taken[file->label]++;
        images->files[split][chosen->count] = i;
        chosen->labels[chosen->count++] = file->label;
    }
    images->counts[split] = chosen->count;
    free(counts);
    free(taken);
}

static bool fill_split(struct dataset *dataset, struct images *images, int split, struct error *err) {
    size_t most = 0;
    for (int i = 0; i < images->index.count; i++)
        most += images->index.files[i].split == split;
    images->files[split] = mem_block(most * sizeof *images->files[split]);
    dataset->splits[split].labels = mem_block(most * sizeof *dataset->splits[split].labels);
    if (!images->files[split] || !dataset->splits[split].labels)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for the labels of %zu images", most);
    choose_files(dataset, images, split, smaller(data_config_limit(&images->config.common, split), (int)most));
    return true;
}

/* Files, and room for what is kept of them. */
static bool open_images(struct dataset *dataset, const struct images_config *config, uint64_t seed, struct error *err) {
    struct images *images = dataset->images = mem_alloc(sizeof *images);
    size_t budget = 0;
    images->config = *config;
    pthread_mutex_init(&images->telling, NULL);
    image_cache_parse(config->cache, &budget);
    if (!find_files(dataset, images, seed, err))
        return false;
    int count = images->index.count;
    images->bad = mem_block((size_t)count * sizeof *images->bad);
    return (images->bad && image_cache_open(&images->cache, count, budget)) ||
           error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for %d files", count);
}

static bool load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    return (dataset->images || open_images(dataset, config, seed, err)) &&
           fill_split(dataset, dataset->images, split, err);
}

static void release(struct dataset *dataset) {
    struct images *images = dataset->images;
    if (!images)
        return;
    for (int s = 0; s < SPLIT_COUNT; s++)
        free(images->files[s]);
    image_cache_free(&images->cache);
    free(images->bad);
    text_free(&images->told);
    pthread_mutex_destroy(&images->telling);
    image_index_free(&images->index);
    free(images);
}

static size_t held(const struct dataset *dataset) {
    const struct images *images = dataset->images;
    return atomic_load(&images->cache.used);
}

static bool identify(const struct dataset *dataset, int split, int index, uint64_t *number, struct error *err) {
    const struct images *images = dataset->images;
    const int file = images->files[split][index];
    const struct image_file *picture = &images->index.files[file];
    const char *folder = images->index.names + images->index.folders[picture->folder].path;
    struct text text = {0};
    struct stat status = {0};
    image_index_path(&text, &images->index, file);
    bool good = stat(text.data, &status) == 0;
    if (!good) {
        text_defuse_line(text.data);
        error_set_errno(err, "%s", text.data);
    }
    text.length = 0;
    text_printf(&text, "%s/%s %lld", folder, images->index.names + picture->name, (long long)status.st_size);
    if (good)
        *number = XXH3_64bits(text.data, text.length);
    text_free(&text);
    return good;
}

/* --- Fetching ---------------------------------------------------------------------------------------------------- */

static int compare_ints(const void *a, const void *b) {
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* Whether a training image has been set aside for validation. */
static bool is_set_aside(const struct dataset *dataset, int index) {
    const struct split *validation = &dataset->splits[SPLIT_VALIDATION];
    return validation->stored &&
           bsearch(&index, validation->stored, (size_t)validation->count, sizeof index, compare_ints);
}

static bool may_replace(const struct dataset *dataset, int split, int index, int other) {
    const struct images *images = dataset->images;
    const struct image_file *files = images->index.files;
    const int *numbers = images->files[split];
    return files[numbers[index]].label == files[numbers[other]].label &&
           (split != SPLIT_TRAIN || is_set_aside(dataset, index) == is_set_aside(dataset, other));
}

/* The next image of the same class and split, after the last one the first; the image itself where there is no other.
 */
static int next_of_class(const struct dataset *dataset, int split, int index) {
    const struct images *images = dataset->images;
    int next = index;
    do
        next = next + 1 < images->counts[split] ? next + 1 : 0;
    while (!may_replace(dataset, split, index, next));
    return next;
}

/* Once for each file. */
static void remember_bad(struct images *images, int file, const struct error *why) {
    if (atomic_exchange(&images->bad[file], 1))
        return;
    pthread_mutex_lock(&images->telling);
    text_printf(&images->told, "%s; the next picture of its class takes its place\n", why->text);
    pthread_mutex_unlock(&images->telling);
}

static void tell_bad(const struct dataset *dataset, struct text *lines) {
    struct images *images = dataset->images;
    pthread_mutex_lock(&images->telling);
    if (images->told.length)
        text_add(lines, images->told.data, images->told.length);
    images->told.length = 0;
    pthread_mutex_unlock(&images->telling);
}

/* A bad image's place is taken by the next good one of its class, so that its label stays right. What the machine fails
 * at makes no image bad: another time the run would be another. */
static bool fetch(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                  uint8_t *pixels, struct error *err) {
    struct images *images = dataset->images;
    struct error why;
    if (image_read(images, images->files[split][index], context, pixels, err))
        return true;
    if (images->config.on_bad_image == BAD_IMAGE_STOP || error_is_of_machine(err))
        return false;
    for (int other = next_of_class(dataset, split, index); other != index;
         other = next_of_class(dataset, split, other)) {
        if (image_read(images, images->files[split][other], context, pixels, &why)) {
            remember_bad(images, images->files[split][index], err);
            return true;
        }
        if (error_is_of_machine(&why)) {
            *err = why;
            return false;
        }
    }
    return false;
}

static bool examine(const struct dataset *dataset, int split, int index, int *height, int *width, uint8_t *pixels,
                    struct error *err) {
    struct images *images = dataset->images;
    return image_examine(images, images->files[split][index], height, width, pixels, err);
}

/* --- Keys -------------------------------------------------------------------------------------------------------- */

static const char *const fit_names[] = {[FIT_CROP] = "crop", [FIT_STRETCH] = "stretch", [FIT_PAD] = "pad", NULL};
static const char *const filter_names[] = {"bilinear", "bicubic", NULL};
static const char *const bad_names[] = {[BAD_IMAGE_STOP] = "stop", [BAD_IMAGE_SKIP] = "skip", NULL};

static const struct param images_params[] = {
    INCLUDED_KEYS(struct images_config, common, data_config_params),
    PATH_KEY(
        struct images_config, path, "path", "''",
        "folder with train/CLASS/..., test/CLASS/... and maybe validation/ or val/, or with CLASS/... alone; .jpg, "
        ".jpeg and .png files at any depth; train_limit and test_limit take as many of each class"),
    PATH_KEY(struct images_config, list, "list", "''",
             "instead of path: a file of lines PATH<tab>LABEL or PATH<tab>LABEL<tab>SPLIT, paths count from its "
             "folder; SPLIT is train, test or validation"),
    INT_KEY(struct images_config, height, "height", NULL, 1, 4096, "height of the images that the network sees"),
    INT_KEY(struct images_config, width, "width", NULL, 1, 4096, "width of the images that the network sees"),
    INT_KEY(struct images_config, channels, "channels", "3", 1, 3, "3: red, green and blue; 1: grey"),
    INT_KEY(struct images_config, classes, "classes", "0", 0, INT_MAX,
            "number of classes; 0: as many as there are folders or labels"),
    REAL_KEY(struct images_config, test_share, "test_share", "0.2", 0.001, 0.999,
             "where the files are in no split: the share of each class that is for tests, drawn from the seed"),
    ENUM_KEY(struct images_config, fit, "fit", "crop", fit_names,
             "how a picture of another shape becomes an image: its middle (crop), all of it stretched, or all of it "
             "with grey (128) around it (pad)"),
    ENUM_KEY(struct images_config, filter, "filter", "bilinear", filter_names,
             "how pictures are resized, as Pillow has it: over all pixels that one of the image covers"),
    REAL_KEY(struct images_config, crop_scale, "crop_scale", "0", 0, 1,
             "training: a random part of the picture, of at least this share of its area; 0: as fit has it"),
    REAL_KEY(struct images_config, crop_aspect, "crop_aspect", "0.75", 0.1, 1,
             "of such parts width to height, or height to width, is at least this"),
    ENUM_KEY(
        struct images_config, on_bad_image, "on_bad_image", "stop", bad_names,
        "a file that cannot be decoded ends the run, or the next good picture of its class takes its place (skip)"),
    TEXT_KEY(struct images_config, cache, "cache", "auto",
             "memory for decoded images, with crop_scale for files, such as 500M or 2G; 0: none; auto: half of what is "
             "free; results do not depend on it"),
    END_OF_KEYS,
};

extern const struct dataset_type dataset_images;

const struct dataset_type dataset_images = {
    .kind = {.name = "images",
             .help = "pictures in files, JPEG or PNG: a folder for each class, or a list",
             .params = images_params,
             .config_size = sizeof(struct images_config)},
    .resolve = resolve,
    .describe = describe,
    .load = load,
    .fetch = fetch,
    .identify = identify,
    .examine = examine,
    .tell_bad = tell_bad,
    .held = held,
    .release = release,
};
