/* One file of IDX: two zeros, the type of its elements, the number of its dimensions, a big-endian 32-bit size for each
 * dimension, then the elements, big-endian too. The first dimension counts records: images or labels. Nothing is kept
 * but what is asked for. */
#ifndef SPHERENET_DATA_IDX_FILE_H
#define SPHERENET_DATA_IDX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/gz_file.h"

enum { IDX_DIMENSIONS_MAX = 4 };
enum { IDX_UINT8 = 0x08, IDX_INT8 = 0x09, IDX_INT16 = 0x0b, IDX_INT32 = 0x0c, IDX_FLOAT = 0x0d, IDX_DOUBLE = 0x0e };

struct idx_file {
    struct file file;
    int type; /* IDX_ */
    int dimensions;
    uint32_t sizes[IDX_DIMENSIONS_MAX]; /* 1 where there is no such dimension */
    size_t element_bytes, record_bytes; /* of one record; SIZE_MAX where no file could hold one */
    uint64_t bytes, read;               /* of the whole file: that its header tells of, and that were read */
};

/* Opens FOLDER/NAME or FOLDER/NAME.gz and reads the header. That the file has as many bytes as the header tells of is
 * left to idx_begin. Pass to idx_close; on failure nothing is left. `advice` as for file_open. */
bool idx_open(struct idx_file *idx, const char *folder, const char *name, const char *advice, struct error *err);
void idx_close(struct idx_file *idx);

/* "unsigned bytes in 3 dimensions" */
const char *idx_describe(struct text *text, int type, int dimensions);

/* Before the first record: refuses a file that holds none, or whose size on the disk is not that of the header, so that
 * a header that lies takes no memory. */
bool idx_begin(struct idx_file *idx, struct error *err);

/* The next `count` records as they are in the file: record_bytes each. */
bool idx_read(struct idx_file *idx, uint8_t *records, size_t count, struct error *err);

/* After the last record that was wanted: reads a compressed file to its end, where its checksum is, and refuses one of
 * more or fewer records than its header tells of. */
bool idx_end(struct idx_file *idx, struct error *err);

/* One element; exact. */
double idx_value(int type, const uint8_t *element);

#endif
