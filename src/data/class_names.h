/* Names of classes as a list, one a line in the order of their numbers: in files beside images, and in checkpoints. */
#ifndef SPHERENET_DATA_CLASS_NAMES_H
#define SPHERENET_DATA_CLASS_NAMES_H

#include "base/text.h"
#include "data/dataset.h"

/* Takes the dataset's names from FOLDER/NAME, or FOLDER/NAME.gz, where there is one; else they stay. Empty lines at its
 * end do not count. There must be as many names as classes, no two alike, of printable UTF-8. */
bool class_names_read(struct dataset *dataset, const char *folder, const char *name, struct error *err);

/* The list; nothing where the dataset's classes have numbers alone. */
void class_names_list(struct text *list, const struct dataset *dataset);

/* Whether the list of the file `path`, which must be one that class_names_list made, is that of the dataset. The error
 * names the first difference. Classes with numbers alone differ from none. */
bool class_names_agree(const char *list, const char *path, const struct dataset *dataset, struct error *err);

#endif
