#include "process/launcher.h"

#include <stdlib.h>
#include <unistd.h>

/* Slurm sets SLURM_PROCID and SLURM_NTASKS in a batch script, too, which runs once: only a step's processes are
 * several.
 */
static const struct names {
    const char *rank, *size;
} launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"}, /* Open MPI's mpirun */
    {"PMI_RANK", "PMI_SIZE"},                         /* MPICH's and Intel's, and srun --mpi=pmi2 */
    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"},            /* srun --mpi=pmix */
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},         /* srun --mpi=none */
};

/* -1: the environment has no such number. */
static int number_in(const char *name) {
    const char *text = getenv(name);
    char *end;
    long number = text ? strtol(text, &end, 10) : -1;
    return !text || end == text || *end || number < 0 || number > 1 << 24 ? -1 : (int)number;
}

struct launch launch_of_environment(void) {
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        int rank = number_in(launchers[i].rank), size = number_in(launchers[i].size);
        if (rank >= 0 && size > rank)
            return (struct launch){rank, size};
    }
    return (struct launch){0, 1};
}

void launch_give_way(void) {
    if (launch_of_environment().rank > 0)
        sleep(2);
}
