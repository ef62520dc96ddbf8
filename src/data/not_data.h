/* What a file or a folder is that is not the data it should be: what users of downloads and of other programs meet. */
#ifndef SPHERENET_DATA_NOT_DATA_H
#define SPHERENET_DATA_NOT_DATA_H

#include "base/error.h"
#include "base/text.h"
#include "storage/gz_file.h"

enum { NOT_DATA_BYTES = 512 }; /* from a file's beginning that are looked at */

/* What the first bytes of a file tell it to be, and what to do: "is a web page, ..."; NULL where they tell nothing. */
const char *not_data_kind(const uint8_t *bytes, size_t size);

/* Replaces the error of a file that could not be taken for data by what it is, where it is one of those. Returns false.
 */
bool not_data_explain(struct file *file, struct error *err);

/* The same of a file that should be a tar archive, gzipped or not. */
bool not_data_explain_path(const char *path, struct error *err);

/* Adds "; there is NAME, WHAT IT IS" for the first thing in the folder that somebody may take for the data that is
 * missing. */
void not_data_remark(struct text *text, const char *folder);

#endif
