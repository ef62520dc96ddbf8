#include "sweep/slurm.h"

/* Slurm's SIGTERM comes to all processes of a task, so the shell only has to outlive it. SIGUSR2 comes to the shell
 * alone, two minutes before the time limit; the run's exit status tells that it ended by that. */
static const char beginning[] = "\n"
                                "# What sbatch is given on its command line counts before these lines: --time,\n"
                                "# --partition, --mem, --array=1-N%M for at most M at a time.\n"
                                "\n"
                                "run() {\n"
                                "    case $SLURM_ARRAY_TASK_ID in\n";

static const char end[] =
    "    esac\n"
    "}\n"
    "\n"
    "# A signal of Slurm ends the run with a checkpoint, from which the same task goes on when it\n"
    "# is queued again: by Slurm after a preemption, `scontrol requeue` or a lost node, and by\n"
    "# the last line when the time limit was near (SIGUSR2, to this shell alone).\n"
    "trap : TERM\n"
    "trap 'kill -USR2 $!' USR2\n"
    "run &\n"
    "wait $!\n"
    "status=$?\n"
    "while kill -0 $! 2>/dev/null; do\n"
    "    wait $!\n"
    "    status=$?\n"
    "done\n"
    "[ $status != 140 ] || scontrol requeue \"$SLURM_JOB_ID\"\n"
    "exit $status\n";

static void write_word(struct text *out, const char *option, const char *word) {
    text_printf(out, "#SBATCH --%s=", option);
    text_add_shell_word(out, word);
    text_printf(out, "\n");
}

void slurm_script(struct text *out, const struct sweep *sweep, const struct sweep_run *const *runs, int count,
                  int threads, const char *program) {
    struct text log = {0};
    text_printf(out, "#!/bin/bash\n");
    write_word(out, "job-name", sweep->name);
    text_printf(out, "#SBATCH --array=1-%d\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=%d\n", count, threads);
    text_printf(&log, "%s/slurm-%%a.log", sweep->out);
    write_word(out, "output", log.data);
    text_printf(out, "#SBATCH --open-mode=append\n#SBATCH --requeue\n#SBATCH --signal=B:USR2@120\n%s", beginning);
    for (int i = 0; i < count; i++) {
        text_printf(out, "    %d) exec ", i + 1);
        sweep_command(out, sweep, runs[i], program);
        text_printf(out, " ;;\n");
    }
    text_printf(out, "%s", end);
    text_free(&log);
}
