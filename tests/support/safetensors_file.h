/* A small file of tensors, its bytes, and what reading it says. */
#ifndef SPHERENET_TESTS_SUPPORT_SAFETENSORS_FILE_H
#define SPHERENET_TESTS_SUPPORT_SAFETENSORS_FILE_H

#include "base/error.h"
#include "support/folder.h"
#include "support/tensor_file.h"

enum { MEGABYTE = 1 << 20, SMALL_TENSORS = 6, SMALL_TEXTS = 4 };

extern char path[PATH_MAX], temporary[PATH_MAX]; /* of the file, and of the one that becomes it */
extern struct error file_error;                  /* of the call that failed last */

/* Fixtures: a folder. */
void safetensors_set_up(void);
void safetensors_tear_down(void);

/* The bytes of a small file. */
struct bytes {
    unsigned char data[4096];
    size_t count;
};

struct bytes load_bytes(const char *name);
struct bytes gunzipped(const struct bytes *zipped);

/* A plain file: header length, header, and `data_count` bytes 0, 1, 2, ... of data. */
struct bytes plain_file(const char *header, size_t data_count);

/* What the small file holds. */
extern const real weights[8];
extern const struct stored_tensor tensors[SMALL_TENSORS];
extern const struct stored_text texts[SMALL_TEXTS];

void write_small(void);
void expect_small(void); /* can be read from `path` */
size_t value_count(const struct stored_tensor *tensor);
void expect_tensor(const struct stored_tensor *got, const struct stored_tensor *wanted);

/* The message is that one, after the path. */
void expect_message(const char *expected);

/* Reads `path`, which must be refused with a message that names it and leave nothing behind. */
void expect_refused(void);

#endif
