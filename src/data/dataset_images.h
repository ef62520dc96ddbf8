/* Pictures in files: what the parts of this dataset know of each other. */
#ifndef SPHERENET_DATA_DATASET_IMAGES_H
#define SPHERENET_DATA_DATASET_IMAGES_H

#include <pthread.h>

#include "data/image_cache.h"
#include "data/image_index.h"

enum image_fit { FIT_CROP, FIT_STRETCH, FIT_PAD };
enum on_bad_image { BAD_IMAGE_STOP, BAD_IMAGE_SKIP };

struct images_config {
    struct data_config common;
    const char *path, *list; /* one of them; "": the other one */
    int height, width, channels;
    int classes;       /* 0: as many as the files have; after describe never */
    double test_share; /* of files that are in no split */
    int fit, filter, on_bad_image;
    double crop_scale, crop_aspect; /* of training; crop_scale 0: as fit has it */
    const char *cache;
};

/* dataset->images */
struct images {
    struct images_config config;
    struct image_index index;
    int *files[SPLIT_COUNT];  /* of the index, for each image of a split */
    int counts[SPLIT_COUNT];  /* of those, before any are set aside */
    struct image_cache cache; /* of files: their images, or with crop_scale their bytes */
    atomic_uchar *bad;        /* [index.count]: 1 once the file was found to be no picture */
    pthread_mutex_t telling;  /* guards what follows */
    struct text told;         /* a line for each of those, until somebody asks */
};

#endif
