/* A file of protocol-buffer messages that is whole or not there. */
#ifndef SPHERENET_EXPORT_MESSAGE_FILE_H
#define SPHERENET_EXPORT_MESSAGE_FILE_H

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

enum { MESSAGE_FILE_BYTES = 1 << 16 };

struct message_file {
    ProtobufCBuffer buffer; /* what messages are packed into; the first member */
    const char *path;
    char temporary[4096 + 8]; /* what becomes PATH; "": PATH is a pipe or a device, and written itself */
    int fd, code;             /* code: errno of the first write that failed, after which nothing is written; 0: none */
    size_t used;
    uint8_t bytes[MESSAGE_FILE_BYTES]; /* [used]: not written yet */
};

/* path: as long as the file is open. Close after success alone. */
bool message_file_open(struct message_file *file, const char *path, struct error *err);

void message_file_add(struct message_file *file, const void *bytes, size_t count);

/* Takes what was added to the disk, and to the file's name. False, with no file left, when any of it failed. */
bool message_file_close(struct message_file *file, struct error *err);

#endif
