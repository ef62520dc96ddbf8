#include "machine/threads.h"

#include <ctype.h>
#include <errno.h>
#include <omp.h>
#include <stdlib.h>

#include "base/number.h"
#include "machine/cpu.h"

static const char *skip_blanks(const char *text) {
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

/* The first number of OMP_NUM_THREADS, "8" or "4,2", at most MOST_THREADS; 0: there is none, or none that OpenMP takes,
 * which ignores a list with anything else in it. */
static int threads_of_environment(void) {
    const char *text = getenv("OMP_NUM_THREADS");
    long first = 0;
    while (text) {
        char *end;
        text = skip_blanks(text);
        errno = 0;
        long number = isdigit((unsigned char)*text) || *text == '+' ? strtol(text, &end, 10) : 0;
        if (number < 1 || errno)
            return 0;
        first = first ? first : number;
        text = skip_blanks(end);
        if (!*text)
            return first < MOST_THREADS ? (int)first : MOST_THREADS;
        text = *text == ',' ? text + 1 : NULL;
    }
    return 0;
}

int threads_decide(int wish) {
    int environment = threads_of_environment();
    int threads = wish > 0 ? wish : environment ? environment : cpu_count();
    return smaller(threads, omp_get_thread_limit());
}

const char *threads_reason(int wish) {
    int environment = threads_of_environment();
    int wanted = wish > 0 ? wish : environment;
    if (threads_decide(wish) < (wanted ? wanted : cpu_count()))
        return " (OMP_THREAD_LIMIT)";
    return wish <= 0 && environment ? " (OMP_NUM_THREADS)" : "";
}

void threads_use(int threads) {
    omp_set_dynamic(0);
    omp_set_num_threads(threads);
}
