#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "machine/openblas.h"

#include <cblas.h>
#include <ctype.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "machine/cpu.h"

/* The cores of x86-64, slowest first, and of aarch64 those that not every CPU can run. */
struct core {
    const char *name;
    enum cpu_feature vectors; /* that its products use */
    enum cpu_feature needs;   /* without which it is an illegal instruction */
};

static const struct core cores[] = {
#if defined __x86_64__
    {"Prescott", CPU_SSE, CPU_SSE},
    {"Core2", CPU_SSE, CPU_SSSE3},
    {"Nehalem", CPU_SSE, CPU_SSE4},
    {"Barcelona", CPU_SSE, CPU_SSE},
    {"Opteron", CPU_SSE, CPU_3DNOW},
    {"Opteron_SSE3", CPU_SSE, CPU_3DNOW},
    {"Sandybridge", CPU_AVX, CPU_AVX},
    {"Bulldozer", CPU_AVX, CPU_FMA4},
    {"Piledriver", CPU_AVX, CPU_FMA4},
    {"Steamroller", CPU_AVX, CPU_FMA4},
    {"Excavator", CPU_AVX, CPU_FMA4},
    {"Haswell", CPU_AVX2, CPU_AVX2},
    {"Zen", CPU_AVX2, CPU_AVX2},
    {"SkylakeX", CPU_AVX512, CPU_AVX512},
    {"Cooperlake", CPU_AVX512, CPU_AVX512_BF16},
    {"SapphireRapids", CPU_AVX512, CPU_AMX},
#elif defined __aarch64__
    {"armv8", CPU_NEON, CPU_NEON},    {"neoversen1", CPU_NEON, CPU_NEON}, {"neoversev1", CPU_SVE, CPU_SVE},
    {"neoversen2", CPU_SVE, CPU_SVE}, {"neoversev2", CPU_SVE, CPU_SVE},   {"armv8sve", CPU_SVE, CPU_SVE},
    {"a64fx", CPU_SVE, CPU_SVE},
#endif
    {NULL, CPU_ANY, CPU_ANY},
};

enum { CORES = sizeof cores / sizeof *cores };

static const struct core *find(const char *name) {
    for (const struct core *core = cores; core->name; core++)
        if (!strcasecmp(core->name, name))
            return core;
    return NULL;
}

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
    const struct core *core = find(openblas_get_corename());
    const char *vectors = core ? cpu_feature_name(core->vectors) : "";
    snprintf(text, sizeof text, "%s, %s kernels%s%s%s", version(), openblas_get_corename(), core ? " (" : "", vectors,
             core ? ")" : "");
    return text;
}

/* --- Wishes ------------------------------------------------------------------------------------------------------ */

bool blas_core_known(const char *wish) {
    return is_auto(wish) || find(wish) || has_table(wish) || blas_core_used(wish);
}

bool blas_core_used(const char *wish) {
    return is_auto(wish) || !strcasecmp(wish, openblas_get_corename());
}

static bool usable(const struct core *core) {
    return cpu_has(core->needs) && library_has(core->name);
}

void blas_core_list(struct text *out) {
    text_printf(out, "auto");
    for (const struct core *core = cores; core->name; core++)
        if (usable(core))
            text_printf(out, ", %s", core->name);
}

const char *blas_core_nearest(const char *wish) {
    const char *names[CORES] = {"auto"};
    size_t count = 1;
    for (const struct core *core = cores; core->name; core++)
        if (usable(core))
            names[count++] = core->name;
    return text_nearest(wish, names, count);
}

/* "REASON; this machine can use auto, Prescott, ..." */
static bool refuse(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(struct error *err, const char *format, ...) {
    struct text list = {0};
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    blas_core_list(&list);
    error_set(err, "train.openblas_core: %s; this machine can use %s", reason, list.data);
    text_free(&list);
    return false;
}

/* What OpenBLAS chooses by itself can run; the environment may order anything. */
static bool check_environment(struct error *err) {
    const struct core *core = find(openblas_get_corename());
    if (!core || cpu_has(core->needs) || !environment_asks_for(core->name))
        return true;
    return error_set(err,
                     BLAS_CORE_VARIABLE "=%s in the environment: %s kernels need %s, which this CPU does not have; "
                                        "unset it",
                     getenv(BLAS_CORE_VARIABLE), core->name, cpu_feature_name(core->needs));
}

bool blas_core_check(const char *wish, struct error *err) {
    if (is_auto(wish))
        return check_environment(err);
    const struct core *core = find(wish);
    if (core && !cpu_has(core->needs))
        return refuse(err, "%s kernels need %s, which this CPU does not have", core->name,
                      cpu_feature_name(core->needs));
    if (blas_core_used(wish))
        return true;
    if (!library_has(wish))
        return refuse(err, "%s has no %.40s kernels", version(), wish);
    return true;
}

/* --- Warnings ---------------------------------------------------------------------------------------------------- */

/* The first core that makes full use of this CPU, or NULL. */
static const struct core *fast_core(void) {
    for (const struct core *core = cores; core->name; core++)
        if (core->vectors == cpu_vectors() && usable(core))
            return core;
    return NULL;
}

/* CPUs with FMA4 do wide vectors in halves, so that narrow ones lose nothing. On aarch64, width says nothing. */
static bool is_slow(const struct core *used) {
    return cpu_vectors() <= CPU_AVX512 && used->vectors < cpu_vectors() && !cpu_has(CPU_FMA4);
}

/* The kernels use narrower vectors than the CPU has: who chose them, and what helps. */
static void explain_slow(struct text *out, const struct core *used) {
    const struct core *fast = fast_core();
    bool from_environment = is_dynamic() && environment_asks_for(used->name);
    const char *vectors = cpu_feature_name(used->vectors), *best = cpu_feature_name(cpu_vectors());
    if (from_environment)
        text_printf(out, BLAS_CORE_VARIABLE "=%s in the environment makes OpenBLAS use %s kernels (%s)",
                    getenv(BLAS_CORE_VARIABLE), used->name, vectors);
    else if (is_dynamic())
        text_printf(out, "%s chose %s kernels (%s)", version(), used->name, vectors);
    else
        text_printf(out, "this %s is built for %s alone (%s)", version(), used->name, vectors);
    text_printf(out, ", but this CPU has %s: products may take up to %d times as long; ", best,
                1 << (cpu_vectors() - used->vectors));
    if (from_environment)
        text_printf(out, "unset it%s", fast ? ", or " : "");
    if (fast)
        text_printf(out, "give --set train.openblas_core=%s", fast->name);
    else if (!from_environment)
        text_printf(out, is_dynamic() ? "a newer OpenBLAS may know this CPU" : "use one with DYNAMIC_ARCH");
}

/* OpenBLAS takes other kernels when it does not know the name, and does not read it when it has no others. */
static void explain_other(struct text *out, const char *asked) {
    text_printf(out, BLAS_CORE_VARIABLE "=%.40s in the environment ", asked);
    if (is_dynamic())
        text_printf(out, "names no kernels of %s, which uses %s; unset it", version(), openblas_get_corename());
    else
        text_printf(out, "is ignored: this %s is built for %s alone; unset it", version(), openblas_get_corename());
}

const char *blas_core_warning(const char *wish) {
    static char line[512];
    struct text text = {0};
    const struct core *used = find(openblas_get_corename());
    const char *asked = asked_core();
    if (!is_auto(wish))
        return NULL;
    if (used && is_slow(used))
        explain_slow(&text, used);
    else if (asked && !blas_core_used(asked))
        explain_other(&text, asked);
    else
        return NULL;
    snprintf(line, sizeof line, "%s", text.data);
    text_free(&text);
    return line;
}
