/* Types of the values in safetensors files, and how one is read. */
#ifndef SPHERENET_STORAGE_SAFETENSORS_DTYPE_H
#define SPHERENET_STORAGE_SAFETENSORS_DTYPE_H

#include "storage/safetensors.h"

enum { DTYPE_WIDEST = 8 }; /* bytes of a value */

struct dtype {
    const char *name; /* NULL: none of those that are known */
    enum tensor_values values;
    int width;                                 /* bytes of a value; of TENSOR_OTHERS not known: 1 */
    real (*value)(const unsigned char *bytes); /* of TENSOR_OTHERS NULL; bytes need not be aligned */
};

/* Never NULL: the one of TENSOR_OTHERS for names that are not known. */
const struct dtype *dtype_find(const char *name);

#endif
