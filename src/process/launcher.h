/* Who has started the program: mpirun, mpiexec or srun tell each process by its environment how many there are. */
#ifndef SPHERENET_PROCESS_LAUNCHER_H
#define SPHERENET_PROCESS_LAUNCHER_H

struct launch {
    int rank, size;
};

/* {0, 1} where no launcher has started the program, or it alone. */
struct launch launch_of_environment(void);

/* Before a process ends that has failed: one that is not the first leaves that the time to tell why, since a launcher
 * ends all as soon as one has failed. */
void launch_failed(void);

#endif
