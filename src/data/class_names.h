/* Names of classes as a list, one a line in the order of their numbers: in files beside images, and in checkpoints. */
#ifndef SPHERENET_DATA_CLASS_NAMES_H
#define SPHERENET_DATA_CLASS_NAMES_H

#include "base/text.h"
#include "data/dataset.h"

/* Takes the dataset's names from FOLDER/NAME, or FOLDER/NAME.gz, where there is one; else they stay. Empty lines at its
 * end do not count. There must be as many names as classes, no two alike, of printable UTF-8. */
bool class_names_read(struct dataset *dataset, const char *folder, const char *name, struct error *err);

/* The same from the bytes of a file. */
bool class_names_take(struct dataset *dataset, const char *path, const uint8_t *bytes, size_t size, struct error *err);

/* The same from a mapping of EMNIST: lines of a label and the codes of the characters that have it, one or several:
 * "10 65" is A, "1 65 97" Aa. Labels count from first_label. */
bool class_names_read_mapping(struct dataset *dataset, const char *folder, const char *name, int first_label,
                              struct error *err);

/* The name of a class that the file system or a list has under these bytes: they themselves where they are printable
 * UTF-8, otherwise with the others as \xHH; of the arena. */
const char *class_names_shown(struct arena *arena, const char *bytes);

/* The list; nothing where the dataset's classes have numbers alone. */
void class_names_list(struct text *list, const struct dataset *dataset);

/* Whether the list of the file `path`, which must be one that class_names_list made, is that of the dataset. The error
 * names the first difference. Classes with numbers alone differ from none. */
bool class_names_agree(const char *list, const char *path, const struct dataset *dataset, struct error *err);

#endif
