/* Who has started the program: mpirun, mpiexec or srun tell each process by its environment how many there are. */
#ifndef SPHERENET_PROCESS_LAUNCHER_H
#define SPHERENET_PROCESS_LAUNCHER_H

struct launch {
    int rank, size;
};

/* {0, 1} where no launcher has started the program, or it alone. */
struct launch launch_of_environment(void);

/* For a process that has failed and is not the first: gives that the time to tell why, if it has failed too, since a
 * launcher ends all as soon as one has ended so. */
void launch_give_way(void);

#endif
