/* What inject.so, preloaded into the program, and the suite that drives it share: one page of memory, kept in the file
 * that SPHERENET_FAULTS names. */
#ifndef SPHERENET_TESTS_FAULTS_INJECT_H
#define SPHERENET_TESTS_FAULTS_INJECT_H

#include <stdint.h>

#define FAULTS_VARIABLE "SPHERENET_FAULTS"

enum fault_kind {
    FAULT_NONE,
    FAULT_MALLOC,    /* and calloc, realloc, posix_memalign, aligned_alloc, strdup: NULL */
    FAULT_THREAD,    /* pthread_create: EAGAIN */
    FAULT_OPEN,      /* EMFILE */
    FAULT_READ,      /* EIO */
    FAULT_LESS_READ, /* half of what was asked for: nothing that may stop a program */
    FAULT_LIST,      /* getdents64: EIO */
    FAULT_WRITE,     /* ENOSPC */
    FAULT_LESS_WRITTEN,
    FAULT_SYNC,  /* EIO */
    FAULT_CLOSE, /* EIO, and yet the file is closed, as Linux does */
    FAULT_RENAME,
    FAULT_UNLINK,
    FAULT_SYMLINK,
    FAULT_MKDIR,
    FAULT_TRUNCATE,
    FAULT_SEEK,
    FAULT_STAT, /* and access: EIO */
    FAULT_LOCK,
    FAULT_GONE, /* before the call the folder "run" is renamed "gone" */
    FAULT_KINDS
};

/* The program is loaded once and waits before main. For each run it forks: to load and link it takes ten times as long
 * as a short training. It sends a byte when it is ready. The driver writes what the run is to be, then a byte to
 * FAULTS_FD, and gets an int back: the status as waitpid gives it. */
enum { FAULTS_FD = 100, FAULT_STACKS = 1 << 14 };

struct fault_page {
    char arguments[1000]; /* each followed by a NUL; the program's name is the first */
    int argument_count;
    int seconds;     /* after which the run is killed by SIGALRM */
    int kind;        /* of the call that is to fail */
    long at;         /* which of them, from 1 */
    long file_bytes; /* the most that a file may grow to, as by ulimit -f; 0: no limit */
    int trace;       /* whether to print the stack where it fails */
    int record;      /* whether to fill stacks in */
    /* The run's: */
    long calls[FAULT_KINDS];       /* since main began */
    uint32_t stacks[FAULT_STACKS]; /* where each allocation was made, so that it can be told whether two are alike */
    int failed;                    /* whether the call was reached */
    char unsynced[200];            /* the first file that was renamed before all that was written to it was synced */
    int unsynced_folders;          /* in which a file was renamed, and which were not synced after that */
};

#endif
