#include "data/validation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

bool validation_check(const struct dataset *dataset, const struct data_config *config, struct error *err) {
    double wanted = config->validation;
    if (wanted > 1 && wanted != floor(wanted))
        return error_set(err, "validation is %.9g, neither a share below 1 nor a whole number of images", wanted);
    return wanted == 0 || !dataset->stores_validation ||
           error_set(err, "validation is %.9g, but this dataset has validation images of its own", wanted);
}

/* --- Which images ------------------------------------------------------------------------------------------------ */

struct class_share {
    int class, images, chosen;
    int64_t fraction; /* of chosen: what rounding down has left, in parts of all images */
};

/* The images in the order of their classes, each class's in their own order, and what the classes give. */
struct strata {
    int *images;                /* [images] */
    struct class_share *shares; /* [classes] */
};

/* Largest fractions first, for equal ones lower classes. */
static int compare_fractions(const void *a, const void *b) {
    const struct class_share *x = a, *y = b;
    int by_fraction = (x->fraction < y->fraction) - (x->fraction > y->fraction);
    return by_fraction ? by_fraction : (x->class > y->class) - (x->class < y->class);
}

static int compare_classes(const void *a, const void *b) {
    const struct class_share *x = a, *y = b;
    return (x->class > y->class) - (x->class < y->class);
}

static void sort_by_class(struct strata *strata, const int32_t *labels, int images, int classes) {
    for (int i = 0; i < images; i++)
        strata->shares[labels[i]].images++;
    for (int k = 0, first = 0; k < classes; first += strata->shares[k++].images)
        strata->shares[k].chosen = first; /* where the class's next image goes */
    for (int i = 0; i < images; i++)
        strata->images[strata->shares[labels[i]].chosen++] = i;
}

/* How many images each class gives: the method of largest remainders. */
static void share_out(struct class_share *shares, int classes, int count, int images) {
    int left = count;
    for (int k = 0; k < classes; k++) {
        int64_t product = (int64_t)count * shares[k].images;
        shares[k].class = k;
        shares[k].chosen = (int)(product / images);
        shares[k].fraction = product % images;
        left -= shares[k].chosen;
    }
    qsort(shares, (size_t)classes, sizeof *shares, compare_fractions);
    for (int k = 0; k < left; k++)
        shares[k].chosen++;
    qsort(shares, (size_t)classes, sizeof *shares, compare_classes);
}

/* Draws share->chosen of the class's images. */
static void draw(uint8_t *marks, const struct class_share *share, int *images, uint64_t seed) {
    struct rng rng = rng_stream(seed, RNG_VALIDATION, (uint64_t)share->class, 0);
    for (int i = 0; i < share->chosen; i++) {
        int j = i + (int)rng_below(&rng, (uint32_t)(share->images - i));
        int image = images[j];
        images[j] = images[i];
        marks[image] = 1;
    }
}

bool validation_choose(uint8_t *marks, const int32_t *labels, int images, int classes, int count, uint64_t seed) {
    struct strata strata = {
        .images = mem_block((size_t)images * sizeof *strata.images),
        .shares = mem_block((size_t)classes * sizeof *strata.shares),
    };
    bool good = strata.images && strata.shares;
    if (good) {
        memset(marks, 0, (size_t)images);
        sort_by_class(&strata, labels, images, classes);
        share_out(strata.shares, classes, count, images);
        for (int k = 0, first = 0; k < classes; first += strata.shares[k++].images)
            draw(marks, &strata.shares[k], strata.images + first, seed);
    }
    free(strata.images);
    free(strata.shares);
    return good;
}

/* --- Setting them aside ------------------------------------------------------------------------------------------ */

/* Images that the configuration asks for. */
static bool count_wanted(const struct data_config *config, int images, int *count, struct error *err) {
    double wanted = config->validation;
    *count = wanted < 1 ? (int)lrint(wanted * images) : (int)wanted;
    if (*count >= images)
        return error_set(err, "data.validation is %.9g, but there %s %d training image%s, and some must be left",
                         wanted, images == 1 ? "is" : "are", images, images == 1 ? "" : "s");
    return *count > 0 ||
           error_set(err, "data.validation is %.9g, which is no image of %d; give a larger one", wanted, images);
}

/* Every class that has images keeps one to train on. */
static bool check_rest(const struct dataset *dataset, const uint8_t *marks, struct error *err) {
    const struct split *train = &dataset->splits[SPLIT_TRAIN];
    struct counts {
        int images, rest;
    } *counts = mem_block((size_t)dataset->classes * sizeof *counts);
    char buffer[CLASS_NAME_BYTES];
    bool good = true;
    if (!counts)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory to count images by class");
    for (int i = 0; i < train->count; i++) {
        counts[train->labels[i]].images++;
        counts[train->labels[i]].rest += !marks[i];
    }
    for (int k = 0; good && k < dataset->classes; k++)
        if (counts[k].images && !counts[k].rest)
            good = error_set(
                err, "data.validation takes all training images of %s, of which there %s %d; set fewer aside",
                dataset_class_name(dataset, k, buffer), counts[k].images == 1 ? "is" : "are", counts[k].images);
    free(counts);
    return good;
}

/* The marked images become the validation split, the others stay. */
static bool divide(struct dataset *dataset, const uint8_t *marks, int count, struct error *err) {
    struct split *train = &dataset->splits[SPLIT_TRAIN], *validation = &dataset->splits[SPLIT_VALIDATION];
    int images = train->count;
    train->stored = mem_block((size_t)(images - count) * sizeof *train->stored);
    validation->stored = mem_block((size_t)count * sizeof *validation->stored);
    validation->labels = mem_block((size_t)count * sizeof *validation->labels);
    if (!train->stored || !validation->stored || !validation->labels)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for the numbers of %d images", images);
    train->count = 0;
    for (int i = 0; i < images; i++) {
        struct split *to = marks[i] ? validation : train;
        to->labels[to->count] = train->labels[i]; /* of train itself: an earlier place */
        to->stored[to->count++] = i;
    }
    return true;
}

bool validation_set_aside(struct dataset *dataset, const struct data_config *config, uint64_t seed, struct error *err) {
    const struct split *train = &dataset->splits[SPLIT_TRAIN];
    int count;
    if (config->validation == 0 || train->count == 0)
        return true;
    if (!count_wanted(config, train->count, &count, err))
        return false;
    uint8_t *marks = mem_block((size_t)train->count);
    bool good = marks && validation_choose(marks, train->labels, train->count, dataset->classes, count, seed);
    if (!good)
        error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory to choose validation images");
    good = good && check_rest(dataset, marks, err) && divide(dataset, marks, count, err);
    free(marks);
    return good;
}
