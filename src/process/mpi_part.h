/* The part of the program that knows MPI: a shared object of its own, src/process/mpi/mpi_part.c, that is opened when a
 * launcher has started several processes. So the program itself needs no MPI. */
#ifndef SPHERENET_PROCESS_MPI_PART_H
#define SPHERENET_PROCESS_MPI_PART_H

#include "process/group.h"

#define MPI_PART_OPEN "spherenet_mpi_part_open"

/* Its one function: the group of all processes, which lasts as long as the program. False with why[bytes]. */
typedef bool mpi_part_open(const struct group **group, char *why, size_t bytes);

mpi_part_open spherenet_mpi_part_open;

#endif
