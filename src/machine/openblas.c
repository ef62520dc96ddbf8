#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "machine/openblas.h"

#include <cblas.h>
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "machine/openblas_cores.h"

static bool is_auto(const char *wish) {
    return !strcmp(wish, "auto");
}

/* --- The library ------------------------------------------------------------------------------------------------- */

/* "OpenBLAS 0.3.21" of "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...". */
static const char *version(void) {
    static char name[64];
    snprintf(name, sizeof name, "%s", openblas_get_config());
    char *end = strchr(name, ' ');
    end = end ? strchr(end + 1, ' ') : NULL;
    if (end)
        *end = '\0';
    return name;
}

/* Whether it has kernels for many CPUs; otherwise those of the one that it was built for. */
static bool is_dynamic(void) {
    return strstr(openblas_get_config(), "DYNAMIC_ARCH") != NULL;
}

/* OpenBLAS has a table of functions gotoblas_HASWELL for the core Haswell, and so on. */
static bool has_table(const char *name) {
    char symbol[64];
    snprintf(symbol, sizeof symbol, "gotoblas_%s", name);
    for (char *c = symbol + strlen("gotoblas_"); *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return dlsym(RTLD_DEFAULT, symbol) != NULL;
}

/* NULL: the environment has no wish, which is also what an empty one says. */
static const char *asked_core(void) {
    const char *asked = getenv(BLAS_CORE_VARIABLE);
    return asked && *asked ? asked : NULL;
}

static bool environment_asks_for(const char *name) {
    const char *asked = asked_core();
    return asked && !strcasecmp(asked, name);
}

/* True also when it cannot be told, since the library hides its tables. */
static bool library_has(const char *name) {
    const char *used = openblas_get_corename();
    if (!strcasecmp(name, used))
        return true;
    if (!is_dynamic() || environment_asks_for(name))
        return false; /* it was asked for these, and has taken others */
    return has_table(name) || !has_table(used);
}

const char *blas_library(void) {
    static char text[160];
    const struct blas_core *core = blas_core_find(openblas_get_corename());
    const char *vectors = core ? cpu_feature_name(core->vectors) : "";
    snprintf(text, sizeof text, "%s, %s kernels%s%s%s", version(), openblas_get_corename(), core ? " (" : "", vectors,
             core ? ")" : "");
    return text;
}

/* --- Memory ------------------------------------------------------------------------------------------------------ */

static const double buffer_bytes = 1 << 27; /* of one thread */

/* The library keeps buffers that are given back for the next product. Builds that hide these functions take theirs when
 * the first product comes. */
static void take_buffers(int threads) {
    void *(*take)(int);
    void (*give_back)(void *);
    *(void **)&take = dlsym(RTLD_DEFAULT, "blas_memory_alloc");
    *(void **)&give_back = dlsym(RTLD_DEFAULT, "blas_memory_free");
    if (!take || !give_back)
        return;
    void **buffers = mem_alloc((size_t)threads * sizeof *buffers);
    for (int i = 0; i < threads; i++)
        buffers[i] = take(0);
    for (int i = 0; i < threads; i++)
        give_back(buffers[i]);
    free(buffers);
}

bool blas_take_memory(int threads, struct error *err) {
    struct mem_bound bound = mem_address_bound("");
    if (!bound.name)
        return true;
    size_t bytes = (size_t)(threads * buffer_bytes);
    void *trial = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (trial == MAP_FAILED)
        return error_set(err,
                         "OpenBLAS takes %.0f MB of address space for each of %d thread%s, and %s leaves %.0f MB. "
                         "Raise the limit, or lower train.threads",
                         buffer_bytes / 1e6, threads, threads == 1 ? "" : "s", bound.name, bound.bytes / 1e6);
    munmap(trial, bytes);
    take_buffers(threads);
    return true;
}

/* --- Wishes ------------------------------------------------------------------------------------------------------ */

bool blas_core_known(const char *wish) {
    return is_auto(wish) || blas_core_find(wish) || has_table(wish) || blas_core_used(wish);
}

bool blas_core_used(const char *wish) {
    return is_auto(wish) || !strcasecmp(wish, openblas_get_corename());
}

static bool usable(const struct blas_core *core) {
    return cpu_has(core->needs) && library_has(core->name);
}

void blas_core_list(struct text *out) {
    text_printf(out, "auto");
    for (const struct blas_core *core = blas_cores; core->name; core++)
        if (usable(core))
            text_printf(out, ", %s", core->name);
}

const char *blas_core_nearest(const char *wish) {
    const char *names[MOST_BLAS_CORES] = {"auto"};
    size_t count = 1;
    for (const struct blas_core *core = blas_cores; core->name; core++)
        if (usable(core))
            names[count++] = core->name;
    return text_nearest(wish, names, count);
}

/* What OpenBLAS chooses by itself can run; the environment may order anything. */
bool blas_environment_runs(struct error *err) {
    const struct blas_core *core = blas_core_find(openblas_get_corename());
    if (!core || cpu_has(core->needs) || !environment_asks_for(core->name))
        return true;
    return error_set(err,
                     BLAS_CORE_VARIABLE "=%s in the environment: %s kernels need %s, which this CPU does not have; "
                                        "unset it",
                     getenv(BLAS_CORE_VARIABLE), core->name, cpu_feature_name(core->needs));
}

bool blas_core_runs(const char *name, struct error *err) {
    const struct blas_core *core = blas_core_find(name);
    if (core && !cpu_has(core->needs))
        return error_set(err, "%s kernels need %s, which this CPU does not have", core->name,
                         cpu_feature_name(core->needs));
    if (library_has(name))
        return true;
    return error_set(err, "%s has no %.40s kernels", version(), name);
}

/* --- Problems ---------------------------------------------------------------------------------------------------- */

/* The first core that makes full use of this CPU, or NULL. */
static const char *fast_core(void) {
    for (const struct blas_core *core = blas_cores; core->name; core++)
        if (core->vectors == cpu_vectors() && usable(core))
            return core->name;
    return NULL;
}

/* CPUs with FMA4 do wide vectors in halves, so that narrow ones lose nothing. On aarch64, width says nothing. */
static bool is_slow(const struct blas_core *used) {
    return cpu_vectors() <= CPU_AVX512 && used->vectors < cpu_vectors() && !cpu_has(CPU_FMA4);
}

/* Whose choice the kernels in use are. */
static void describe_choice(struct text *out, const struct blas_core *used) {
    const char *vectors = cpu_feature_name(used->vectors);
    if (!is_dynamic())
        text_printf(out, "this %s is built for %s alone (%s)", version(), used->name, vectors);
    else if (environment_asks_for(used->name))
        text_printf(out, BLAS_CORE_VARIABLE "=%s in the environment makes OpenBLAS use %s kernels (%s)",
                    getenv(BLAS_CORE_VARIABLE), used->name, vectors);
    else
        text_printf(out, "%s chose %s kernels (%s)", version(), used->name, vectors);
}

/* The kernels use narrower vectors than the CPU has. */
static void describe_slow(struct blas_problem *problem, const struct blas_core *used) {
    struct text choice = {0};
    describe_choice(&choice, used);
    snprintf(problem->reason, sizeof problem->reason,
             "%s, but this CPU has %s: products may take up to %d times as long", choice.data,
             cpu_feature_name(cpu_vectors()), 1 << (cpu_vectors() - used->vectors));
    text_free(&choice);
    problem->faster = fast_core();
    if (!is_dynamic())
        problem->remedy = "use one with DYNAMIC_ARCH";
    else if (environment_asks_for(used->name))
        problem->remedy = "unset it";
    else if (!problem->faster)
        problem->remedy = "a newer OpenBLAS may know this CPU";
}

/* OpenBLAS takes other kernels when it does not know the name, and does not read it when it has no others. */
static void describe_other(struct blas_problem *problem, const char *asked) {
    const char *used = openblas_get_corename();
    problem->remedy = "unset it";
    if (is_dynamic())
        snprintf(problem->reason, sizeof problem->reason,
                 BLAS_CORE_VARIABLE "=%.40s in the environment names no kernels of %s, which uses %s", asked, version(),
                 used);
    else
        snprintf(problem->reason, sizeof problem->reason,
                 BLAS_CORE_VARIABLE "=%.40s in the environment is ignored: this %s is built for %s alone", asked,
                 version(), used);
}

bool blas_problem(struct blas_problem *problem) {
    const struct blas_core *used = blas_core_find(openblas_get_corename());
    const char *asked = asked_core();
    *problem = (struct blas_problem){0};
    if (used && is_slow(used))
        describe_slow(problem, used);
    else if (asked && !blas_core_used(asked))
        describe_other(problem, asked);
    return *problem->reason != '\0';
}
