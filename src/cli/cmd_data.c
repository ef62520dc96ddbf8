#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "cli/command.h"
#include "cli/contact_sheet.h"
#include "data/pixel_sums.h"
#include "data/standardize.h"
#include "machine/threads.h"
#include "train/experiment.h"

static struct values overrides;
static const char *sheet_path;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"sheet", OPTION_PATH, &sheet_path, "FILE.png", "also draw training images as the network sees them"},
    {0},
};

/* Of a picture in its file. */
struct size {
    int height, width;
};

/* What a look at every image tells. */
struct survey {
    struct dataset dataset;
    struct pixel_sums sums; /* of training images */
    struct size *sizes;     /* of all splits, one after the other; 0 x 0: damaged */
    int images;
    struct error_list damaged;
    int damaged_count;
};

/* Images of a split that a thread looks at together. */
struct part {
    int split, first, end;
    struct pixel_sums sums;
    struct text damaged; /* a line for each */
    int damaged_count;
};

enum { PART = 64 };

static void look_at(struct part *part, const struct dataset *dataset, struct size *sizes, uint8_t *pixels) {
    struct error why;
    for (int i = part->first; i < part->end; i++) {
        struct size *size = &sizes[i];
        if (!dataset_examine(dataset, part->split, i, &size->height, &size->width, pixels, &why)) {
            *size = (struct size){0};
            text_printf(&part->damaged, "%s\n", why.text);
            part->damaged_count++;
        } else if (part->split == SPLIT_TRAIN) {
            pixel_sums_add(&part->sums, pixels, dataset->height * dataset->width, dataset->channels);
        }
    }
}

static void add_lines(struct error_list *list, const char *lines) {
    for (const char *end; lines && (end = strchr(lines, '\n')); lines = end + 1)
        error_list_add(list, "%.*s", (int)(end - lines), lines);
}

/* sizes: of this split. Damaged images are told of in their order. */
static bool look_at_split(struct survey *survey, int split, struct size *sizes) {
    const struct dataset *dataset = &survey->dataset;
    int count = dataset->splits[split].count, failed = 0;
#pragma omp parallel for schedule(dynamic) ordered
    for (int first = 0; first < count; first += PART) {
        struct part part = {.split = split, .first = first, .end = first + smaller(PART, count - first)};
        uint8_t *pixels = mem_block(dataset_image_bytes(dataset));
        if (pixels)
            look_at(&part, dataset, sizes, pixels);
#pragma omp ordered
        {
            pixel_sums_join(&survey->sums, &part.sums);
            add_lines(&survey->damaged, part.damaged.data);
            survey->damaged_count += part.damaged_count;
            failed += !pixels;
        }
        text_free(&part.damaged);
        free(pixels);
    }
    return !failed;
}

static bool look_at_all(struct survey *survey, struct error *err) {
    const struct dataset *dataset = &survey->dataset;
    bool good = true;
    for (int s = 0; s < SPLIT_COUNT; s++)
        survey->images += dataset->splits[s].count;
    survey->sizes = mem_block((size_t)survey->images * sizeof *survey->sizes);
    struct size *sizes = survey->sizes;
    for (int s = 0; sizes && good && s < SPLIT_COUNT; sizes += dataset->splits[s++].count)
        good = look_at_split(survey, s, sizes);
    return (survey->sizes && good) || error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory to look at images");
}

/* --- Printing ---------------------------------------------------------------------------------------------------- */

static void print_counts(const struct dataset *dataset) {
    enum { NAME_COLUMN = 28 };
    int *counts = mem_alloc((size_t)dataset->classes * SPLIT_COUNT * sizeof *counts);
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < dataset->splits[s].count; i++)
            counts[dataset->splits[s].labels[i] * SPLIT_COUNT + s]++;
    printf("%-*s", NAME_COLUMN, "class");
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (dataset->splits[s].count)
            printf(" %10s", split_names[s]);
    for (int c = 0; c < dataset->classes; c++) {
        char buffer[CLASS_NAME_BYTES];
        printf("\n%-*s", NAME_COLUMN, dataset_class_name(dataset, c, buffer));
        for (int s = 0; s < SPLIT_COUNT; s++)
            if (dataset->splits[s].count)
                printf(" %10d", counts[c * SPLIT_COUNT + s]);
    }
    printf("\n%-*s", NAME_COLUMN, "all");
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (dataset->splits[s].count)
            printf(" %10d", dataset->splits[s].count);
    printf("\n");
    free(counts);
}

/* By area, then by height. */
static int compare_sizes(const void *a, const void *b) {
    const struct size *x = a, *y = b;
    int64_t more = (int64_t)x->height * x->width - (int64_t)y->height * y->width;
    return more ? (more > 0) - (more < 0) : (x->height > y->height) - (x->height < y->height);
}

/* Those that are damaged come first in the order of sizes. */
static void print_sizes(struct survey *survey) {
    int good = survey->images - survey->damaged_count;
    const struct size *sizes = survey->sizes + survey->damaged_count;
    qsort(survey->sizes, (size_t)survey->images, sizeof *survey->sizes, compare_sizes);
    if (good)
        printf("pictures: height x width from %dx%d by %dx%d (the median) to %dx%d\n", sizes[0].height, sizes[0].width,
               sizes[(good - 1) / 2].height, sizes[(good - 1) / 2].width, sizes[good - 1].height,
               sizes[good - 1].width);
}

static void print_pixels(const struct survey *survey) {
    const struct pixel_sums *sums = &survey->sums;
    if (!sums->count)
        return;
    printf("training pixels: mean");
    for (int c = 0; c < survey->dataset.channels; c++)
        printf(" %.3f", pixel_sums_mean(sums, c));
    printf(", deviation");
    for (int c = 0; c < survey->dataset.channels; c++)
        printf(" %.3f", pixel_sums_deviation(sums, c));
    printf("\n");
}

static void print(struct survey *survey, const struct experiment *experiment) {
    const struct dataset *dataset = &survey->dataset;
    printf("%s: images of %dx%dx%d, %d classes\n", experiment->data.kind->name, dataset->height, dataset->width,
           dataset->channels, dataset->classes);
    print_counts(dataset);
    print_sizes(survey);
    print_pixels(survey);
    if (dataset->remark)
        printf("%s\n", dataset->remark);
    if (survey->damaged_count)
        printf("%d damaged:%s\n", survey->damaged_count, error_list_end(&survey->damaged));
}

static bool draw_sheet(const struct survey *survey, const struct experiment *experiment, struct error *err) {
    return !sheet_path || (standardize(&survey->dataset, experiment->data, err) &&
                           contact_sheet_write(sheet_path, &survey->dataset, experiment_data(experiment),
                                               (uint64_t)experiment->seed, err));
}

static enum exit_status show_data(struct survey *survey, const struct experiment *experiment) {
    struct error err;
    threads_use(experiment->threads);
    bool good =
        dataset_load(&survey->dataset, experiment->data, (uint64_t)experiment->seed, &err) && look_at_all(survey, &err);
    if (good) {
        print(survey, experiment);
        good = draw_sheet(survey, experiment, &err);
    }
    if (!good)
        fprintf(stderr, "spherenet: %s\n", err.text);
    return good && !survey->damaged_count ? EXIT_DONE : EXIT_FAILED;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    struct experiment experiment;
    struct survey survey = {0};
    enum exit_status status = EXIT_USAGE;
    if (command_read_spec(&experiment, operands[0], &overrides))
        status = show_data(&survey, &experiment);
    error_list_free(&survey.damaged);
    free(survey.sizes);
    dataset_free(&survey.dataset);
    experiment_free(&experiment);
    return status;
}

const struct command command_data = {
    .name = "data",
    .operands = "SPEC",
    .summary = "Look at a spec's data: classes, sizes, pixels, damaged files.",
    .details = "Every image is looked at: how many of each class there are in each split, the sizes of pictures in\n"
               "files, mean and deviation of each channel (0 to 255), what cannot be read and why. A sheet shows\n"
               "64 training images, augmented. Files that are damaged make the status 1.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
