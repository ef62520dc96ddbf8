#include "process/mpi_part.h"

#include <mpi.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 30 }; /* of a message: MPI counts in int */

static struct group all;

/* What goes wrong with another process, or on the way to it, cannot be mended: all of them end. */
static void check(int code, const char *doing) {
    char why[MPI_MAX_ERROR_STRING] = "", host[256] = "";
    int length;
    if (code == MPI_SUCCESS)
        return;
    MPI_Error_string(code, why, &length);
    gethostname(host, sizeof host - 1);
    fprintf(stderr, "spherenet: process %d on %s, %s: %s; `--resume` goes on from the last checkpoint\n", all.rank,
            host, doing, why);
    fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1); /* where there is nothing left that could abort */
}

static int piece(size_t bytes) {
    return bytes < MOST_BYTES ? (int)bytes : MOST_BYTES;
}

static void send_to(const void *data, size_t bytes, int to) {
    for (const char *next = data; bytes > 0; next += MOST_BYTES, bytes -= (size_t)piece(bytes))
        check(MPI_Send(next, piece(bytes), MPI_BYTE, to, 0, MPI_COMM_WORLD), "sending");
}

static void receive_from(void *data, size_t bytes, int from) {
    for (char *next = data; bytes > 0; next += MOST_BYTES, bytes -= (size_t)piece(bytes))
        check(MPI_Recv(next, piece(bytes), MPI_BYTE, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE), "receiving");
}

static void broadcast_from(void *data, size_t bytes, int from) {
    for (char *next = data; bytes > 0; next += MOST_BYTES, bytes -= (size_t)piece(bytes))
        check(MPI_Bcast(next, piece(bytes), MPI_BYTE, from, MPI_COMM_WORLD), "broadcasting");
}

static void largest_of_all(int *values, int count) {
    check(MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT, MPI_MAX, MPI_COMM_WORLD), "agreeing");
}

static void close_all(void) {
    check(MPI_Finalize(), "ending");
}

bool spherenet_mpi_part_open(const struct group **group, char *why, size_t bytes) {
    int level;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) {
        snprintf(why, bytes, "it cannot be initialised");
        return false;
    }
    check(MPI_Comm_rank(MPI_COMM_WORLD, &all.rank), "starting");
    check(MPI_Comm_size(MPI_COMM_WORLD, &all.size), "starting");
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "starting");
    all.send = send_to;
    all.receive = receive_from;
    all.broadcast = broadcast_from;
    all.largest = largest_of_all;
    all.close = close_all;
    *group = &all;
    return level >= MPI_THREAD_FUNNELED ||
           (snprintf(why, bytes, "this MPI cannot be called beside other threads"), false);
}
