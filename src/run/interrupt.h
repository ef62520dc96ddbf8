/* What a user or a batch system asks of a run by signals: SIGINT, SIGTERM, SIGHUP, SIGUSR2 and SIGXCPU that it end
 * after a checkpoint, and a second one of them at once, unless it is SIGXCPU; SIGUSR1 that it make a checkpoint and go
 * on. */
#ifndef SPHERENET_RUN_INTERRUPT_H
#define SPHERENET_RUN_INTERRUPT_H

#include <stdbool.h>

/* From now on signals are taken as above; what the process was started to ignore (nohup) stays ignored. quiet: a first
 * signal is not answered on standard error. */
void interrupt_listen(bool quiet);

/* The signal that asks for the end; 0: none came. */
int interrupt_signal(void);

/* Whether a checkpoint was asked for since the last call. */
bool interrupt_checkpoint(void);

#endif
