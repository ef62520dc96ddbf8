/* spherenet: the command line. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/restart.h"
#include "kernel/gemm.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "machine/threads.h"
#include "process/launcher.h"
#include "train/openblas_core.h"

extern const struct command command_train, command_eval, command_features, command_predict, command_export,
    command_sweep, command_show, command_data, command_bench, command_list, command_of_help;

const struct command *const commands[] = {
    &command_train, &command_eval, &command_features, &command_predict, &command_export,  &command_sweep,
    &command_show,  &command_data, &command_bench,    &command_list,    &command_of_help, NULL,
};

static const struct command *find(const char *name) {
    for (const struct command *const *c = commands; *c; c++)
        if (!strcmp((*c)->name, name))
            return *c;
    return NULL;
}

static int unknown(const char *word) {
    const char *names[sizeof commands / sizeof *commands];
    size_t count = 0;
    for (; commands[count]; count++)
        names[count] = commands[count]->name;
    const char *nearest = text_nearest(word, names, count);
    fprintf(stderr, "spherenet: unknown command \"%s\"", word);
    if (nearest)
        fprintf(stderr, "; did you mean \"%s\"?", nearest);
    fprintf(stderr, "\n  `spherenet help` lists the commands\n");
    return EXIT_USAGE;
}

/* On any thread: exit would take libraries down while the others compute. */
static void end_without_memory(void) {
    fprintf(stderr, "spherenet: out of memory\n");
    fflush(stdout);
    _exit(EXIT_FAILED);
}

/* A run's files must not take the place of a standard stream that was closed, nor a closed pipe end a training. */
static void secure_streams(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow (ulimit -f) is an error like a full disk */
}

/* Idle OpenMP threads of the GNU library spin for milliseconds, which starves whoever shares the processors: two
 * trainings on one machine would run ten times slower, not twice. So they spin less, unless the user has chosen. */
static void calm_idle_threads(void) {
    if (!getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY"))
        restart_set("GOMP_SPINCOUNT", "20000");
}

/* Where address space is limited, OpenBLAS's own threads, which are not used, might wait for memory for ever, and the
 * program for them when it ends. */
static void drop_idle_blas_threads(void) {
    const char *threads = getenv(BLAS_THREADS_VARIABLE);
    if (mem_address_bound("").name && (!threads || strcmp(threads, "1") != 0)) {
        restart_set(BLAS_THREADS_VARIABLE, "1");
        restart_if_due();
    }
}

/* An empty name is none, but OpenBLAS would look for it, and then not choose as it does without. */
static void drop_empty_core(void) {
    const char *core = getenv(BLAS_CORE_VARIABLE);
    if (core && !*core) {
        restart_set(BLAS_CORE_VARIABLE, NULL);
        restart_if_due();
    }
}

static void print_version(void) {
    const char *warning = blas_core_warning("auto");
    int processors = cpu_count(), threads = threads_decide(0);
    printf("spherenet %s\nmachine: %s, %d processor%s", SPHERENET_VERSION, cpu_description(), processors,
           processors == 1 ? "" : "s");
    if (*threads_reason(0))
        printf(", %d thread%s%s", threads, threads == 1 ? "" : "s", threads_reason(0));
    printf("\nproducts: %s\n", blas_library());
    if (warning)
        fprintf(stderr, "spherenet: warning: %s\n", warning);
}

/* What could not be printed matters, but where a log holds it too, or where nobody reads on. */
static int finish(enum exit_status status, bool logged) {
    bool told = output_finish();
    return (int)(told || logged || status ? status : EXIT_FAILED);
}

/* Others would do the same as often as there are processes. */
static bool check_launch(const struct command *command) {
    struct launch launch = launch_of_environment();
    bool good = launch.size == 1 || command == &command_train;
    if (!good && launch.rank == 0)
        fprintf(stderr,
                "spherenet %s: is for one process, but a launcher has started %d; `spherenet train` can be shared\n",
                command->name, launch.size);
    return good;
}

/* What is wrong is the same for all processes that a launcher has started, and the first one tells. */
static bool parse(const struct command *command, int argc, char **argv, int *operand_count, const char **operands) {
    bool silent = launch_of_environment().rank > 0;
    int kept = silent ? dup(STDERR_FILENO) : -1, null = silent ? open("/dev/null", O_WRONLY) : -1;
    if (kept >= 0 && null >= 0)
        dup2(null, STDERR_FILENO);
    bool good = check_launch(command) && command_parse(command, argc, argv, operand_count, operands);
    if (kept >= 0 && null >= 0)
        dup2(kept, STDERR_FILENO);
    close(kept);
    close(null);
    return good;
}

int main(int argc, char **argv) {
    mem_on_exhaustion(end_without_memory);
    restart_remember(argv);
    calm_idle_threads();
    drop_empty_core();
    drop_idle_blas_threads();
    secure_streams();
    gemm_setup();
    const char *word = argc > 1 ? argv[1] : "help";
    if (!strcmp(word, "--version")) {
        print_version();
        return finish(EXIT_DONE, false);
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h"))
        word = "help";
    const struct command *command = find(word);
    if (!command)
        return unknown(word);
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            command_help(command);
            return finish(EXIT_DONE, false);
        }
    }
    const char **operands = mem_alloc((size_t)argc * sizeof *operands + 1);
    int operand_count;
    if (!parse(command, argc - 2 < 0 ? 0 : argc - 2, argv + 2, &operand_count, operands))
        command = NULL;
    int status = command ? finish(command->run(operand_count, operands), command->logged) : EXIT_USAGE;
    free(operands);
    if (status)
        launch_give_way();
    return status;
}
