/* What a user or a batch system asks of a run by signals: SIGINT, SIGTERM, SIGHUP, SIGUSR2 and SIGXCPU that it end
 * after a checkpoint, and a second one of them at once, unless it is SIGXCPU; SIGUSR1 that it make a checkpoint and go
 * on. */
#ifndef SPHERENET_RUN_INTERRUPT_H
#define SPHERENET_RUN_INTERRUPT_H

#include <stdbool.h>

/* From now on signals are taken as above; what the process was started to ignore (nohup) stays ignored. quiet: a first
 * signal is not answered on standard error. */
void interrupt_listen(bool quiet);

/* From now on an end that a signal asks for comes after a checkpoint, and the answer says so. */
void interrupt_promise_checkpoint(void);

/* What is computed meanwhile ends by itself; but a library that waits for what it never gets does not. When a signal
 * has asked for the end, and interrupt_unwatch is not called within so many seconds, the process ends as by a second
 * signal, after the text on standard error. One at a time. */
void interrupt_watch(double seconds, const char *text);
void interrupt_unwatch(void);

/* The signal that asks for the end; 0: none came. */
int interrupt_signal(void);

/* A signal that asks for the end came to another process of the group; 0: none. */
void interrupt_hear(int signal);

/* Whether a checkpoint was asked for since the last call. */
bool interrupt_checkpoint(void);

#endif
