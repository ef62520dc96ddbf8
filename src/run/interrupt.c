#include "run/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t ending, checkpoint, promised, patience; /* patience: in seconds; 0: nothing is watched */
static char farewell[256];
static bool answers;

static void tell(const char *text, size_t length) {
    ssize_t written = write(STDERR_FILENO, text, length);
    (void)written; /* nobody may be listening */
}

static void give_up(int signal) {
    (void)signal;
    tell(farewell, strlen(farewell));
    _exit(128 + ending);
}

/* No earlier than now is SIGALRM taken from whoever else has a use for it. */
static void begin_to_wait(void) {
    struct sigaction action = {.sa_handler = give_up, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)patience);
}

static void on_end(int signal) {
    static const char trains[] =
        "\nspherenet: ending after this iteration, with a checkpoint; once more ends at once\n",
                      begins[] = "\nspherenet: ending before the first iteration; once more ends at once\n";
    int before = errno;
    if (ending)
        _exit(128 + signal);
    ending = signal;
    if (patience)
        begin_to_wait();
    if (answers)
        promised ? tell(trains, sizeof trains - 1) : tell(begins, sizeof begins - 1);
    errno = before;
}

/* The system sends one every second from the limit on. */
static void on_processor_limit(int signal) {
    if (!ending)
        on_end(signal);
}

static void on_checkpoint(int signal) {
    (void)signal;
    checkpoint = 1;
}

/* All are blocked while one is handled, so that two at once are one after the other. */
static void handle(int signal, void (*handler)(int)) {
    struct sigaction before, action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    if (sigaction(signal, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(signal, &action, NULL);
}

void interrupt_listen(bool quiet) {
    answers = !quiet;
    handle(SIGINT, on_end);
    handle(SIGTERM, on_end);
    handle(SIGHUP, on_end);
    handle(SIGUSR2, on_end);
    handle(SIGXCPU, on_processor_limit);
    handle(SIGUSR1, on_checkpoint);
}

void interrupt_promise_checkpoint(void) {
    promised = 1;
}

void interrupt_watch(double seconds, const char *text) {
    snprintf(farewell, sizeof farewell, "%s", text);
    patience = seconds < 1 ? 1 : seconds > 1e6 ? 1000000 : (sig_atomic_t)seconds;
    if (ending) /* in between */
        begin_to_wait();
}

void interrupt_unwatch(void) {
    patience = 0;
    if (ending)
        alarm(0);
}

int interrupt_signal(void) {
    return ending;
}

void interrupt_hear(int signal) {
    if (signal && !ending)
        ending = signal;
}

bool interrupt_checkpoint(void) {
    bool asked = checkpoint;
    checkpoint = 0;
    return asked;
}
