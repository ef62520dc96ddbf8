/* A library to preload that lets one call fail: the n-th of a kind since main began.
 *
 * Memory and threads are interposed by name. System calls are not: much of what the C library does itself, stdio's
 * reads and writes for one, passes no name that could be interposed. So a seccomp filter traps them where they are
 * made, in the C library's code, and the handler of SIGSYS answers in the kernel's place: with an error, or with what
 * the kernel says when it makes the same call from here. Calls made elsewhere, by the sanitizers' run-time libraries,
 * are left alone. */
#define _GNU_SOURCE
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static struct fault_page *page; /* NULL before main */
/* A thread begins with calls of the C library's and of AddressSanitizer's own, which do not bear a failure. */
static _Thread_local bool counting;

/* A sum of the addresses that the call returns to. */
static uint32_t sum_of_stack(void) {
    void *stack[64];
    uint64_t sum = 0;
    int depth = backtrace(stack, 64);
    for (int i = 0; i < depth; i++)
        sum = (sum ^ (uintptr_t)stack[i]) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(sum >> 32);
}

/* Counts a call; whether it is the one to fail. */
static bool fails(enum fault_kind kind) {
    if (!page || !counting)
        return false;
    long number = __atomic_add_fetch(&page->calls[kind], 1, __ATOMIC_RELAXED);
    if (page->record && kind == FAULT_MALLOC && number < FAULT_STACKS)
        page->stacks[number] = sum_of_stack();
    if (page->kind != (int)kind || page->at != number)
        return false;
    page->failed = 1;
    if (page->trace) {
        void *stack[32];
        sigset_t trap;
        sigemptyset(&trap);
        sigaddset(&trap, SIGSYS);
        pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
        backtrace_symbols_fd(stack, backtrace(stack, 32), STDERR_FILENO);
    }
    return true;
}

/* --- Memory ------------------------------------------------------------------------------------------------------ */

/* The C library's own, or, where there is one, those of AddressSanitizer. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);
void *__libc_memalign(size_t alignment, size_t bytes);
__attribute__((weak)) void *__interceptor_malloc(size_t bytes);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t bytes);
__attribute__((weak)) void *__interceptor_realloc(void *memory, size_t bytes);
__attribute__((weak)) void *__interceptor_memalign(size_t alignment, size_t bytes);

static bool no_memory(void) {
    if (!fails(FAULT_MALLOC))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes) {
    if (no_memory())
        return NULL;
    return __interceptor_malloc ? __interceptor_malloc(bytes) : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    if (no_memory())
        return NULL;
    return __interceptor_calloc ? __interceptor_calloc(count, bytes) : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes) {
    if (no_memory())
        return NULL;
    return __interceptor_realloc ? __interceptor_realloc(memory, bytes) : __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    if (no_memory())
        return NULL;
    return __interceptor_memalign ? __interceptor_memalign(alignment, bytes) : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    void *got = aligned_alloc(alignment, bytes);
    if (!got)
        return ENOMEM;
    *memory = got;
    return 0;
}

/* AddressSanitizer's would not call malloc. */
char *strdup(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

/* --- Threads ----------------------------------------------------------------------------------------------------- */

struct beginning {
    void *(*start)(void *);
    void *argument;
};

/* A trap whose signal is blocked ends the process, and threads may have been told to take no signals. */
static void take_traps(void) {
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
}

static void *start_counting(void *argument) {
    struct beginning beginning = *(struct beginning *)argument;
    __libc_free(argument);
    take_traps();
    counting = true;
    return beginning.start(beginning.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static __typeof__(pthread_create) *real;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (fails(FAULT_THREAD))
        return EAGAIN;
    struct beginning *beginning = __libc_malloc(sizeof *beginning);
    *beginning = (struct beginning){start, argument};
    int code = real(thread, attributes, start_counting, beginning);
    if (code)
        __libc_free(beginning);
    return code;
}

/* --- System calls ------------------------------------------------------------------------------------------------ */

enum effect { REFUSED, HALVED, DONE_AND_REFUSED, MOVED_AWAY };

static const struct trapped {
    int number;
    enum fault_kind kind;
    int error;
    enum effect effect;
} trapped[] = {
#ifdef SYS_open
    {SYS_open, FAULT_OPEN, EMFILE, REFUSED},         {SYS_rename, FAULT_RENAME, EIO, REFUSED},
    {SYS_unlink, FAULT_UNLINK, EIO, REFUSED},        {SYS_rmdir, FAULT_UNLINK, EIO, REFUSED},
    {SYS_symlink, FAULT_SYMLINK, ENOSPC, REFUSED},   {SYS_mkdir, FAULT_MKDIR, ENOSPC, REFUSED},
    {SYS_access, FAULT_STAT, EIO, REFUSED},          {SYS_stat, FAULT_STAT, EIO, REFUSED},
    {SYS_lstat, FAULT_STAT, EIO, REFUSED},
#endif
#ifdef SYS_renameat
    {SYS_renameat, FAULT_RENAME, EIO, REFUSED},
#endif
    {SYS_openat, FAULT_OPEN, EMFILE, REFUSED},       {SYS_read, FAULT_READ, EIO, REFUSED},
    {SYS_read, FAULT_LESS_READ, 0, HALVED},          {SYS_pread64, FAULT_READ, EIO, REFUSED},
    {SYS_readv, FAULT_READ, EIO, REFUSED},           {SYS_getdents64, FAULT_LIST, EIO, REFUSED},
    {SYS_write, FAULT_WRITE, ENOSPC, REFUSED},       {SYS_write, FAULT_LESS_WRITTEN, 0, HALVED},
    {SYS_pwrite64, FAULT_WRITE, ENOSPC, REFUSED},    {SYS_writev, FAULT_WRITE, ENOSPC, REFUSED},
    {SYS_fsync, FAULT_SYNC, EIO, REFUSED},           {SYS_fdatasync, FAULT_SYNC, EIO, REFUSED},
    {SYS_close, FAULT_CLOSE, EIO, DONE_AND_REFUSED}, {SYS_renameat2, FAULT_RENAME, EIO, REFUSED},
    {SYS_unlinkat, FAULT_UNLINK, EIO, REFUSED},      {SYS_symlinkat, FAULT_SYMLINK, ENOSPC, REFUSED},
    {SYS_mkdirat, FAULT_MKDIR, ENOSPC, REFUSED},     {SYS_ftruncate, FAULT_TRUNCATE, EIO, REFUSED},
    {SYS_lseek, FAULT_SEEK, EIO, REFUSED},           {SYS_newfstatat, FAULT_STAT, EIO, REFUSED},
    {SYS_fstat, FAULT_STAT, EIO, REFUSED},           {SYS_faccessat, FAULT_STAT, EIO, REFUSED},
    {SYS_flock, FAULT_LOCK, ENOLCK, REFUSED},        {SYS_openat, FAULT_GONE, 0, MOVED_AWAY},
    {SYS_write, FAULT_GONE, 0, MOVED_AWAY},          {SYS_fsync, FAULT_GONE, 0, MOVED_AWAY},
    {SYS_getdents64, FAULT_GONE, 0, MOVED_AWAY},
};
enum { TRAPPED = sizeof trapped / sizeof *trapped };

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64

static long call_kernel(long number, const long *a) {
    register long fourth __asm__("r10") = a[3], fifth __asm__("r8") = a[4], sixth __asm__("r9") = a[5];
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return result;
}

static void arguments_of(const ucontext_t *context, long *a) {
    static const int places[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
    for (int i = 0; i < 6; i++)
        a[i] = (long)context->uc_mcontext.gregs[places[i]];
}

static void give(ucontext_t *context, long result) {
    context->uc_mcontext.gregs[REG_RAX] = result;
}
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64

static long call_kernel(long number, const long *a) {
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a[0], x1 __asm__("x1") = a[1], x2 __asm__("x2") = a[2],
                     x3 __asm__("x3") = a[3], x4 __asm__("x4") = a[4], x5 __asm__("x5") = a[5];
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

static void arguments_of(const ucontext_t *context, long *a) {
    for (int i = 0; i < 6; i++)
        a[i] = (long)context->uc_mcontext.regs[i];
}

static void give(ucontext_t *context, long result) {
    context->uc_mcontext.regs[0] = (unsigned long long)result;
}
#else
#define MACHINE 0

static long call_kernel(long number, const long *a) {
    (void)number, (void)a;
    return -ENOSYS;
}

static void arguments_of(const ucontext_t *context, long *a) {
    (void)context, (void)a;
}

static void give(ucontext_t *context, long result) {
    (void)context, (void)result;
}
#endif

/* --- What a power cut would take --------------------------------------------------------------------------------- */

/* Files and folders by device and number, whatever descriptors and names they have. */
struct inodes {
    struct {
        dev_t device;
        ino_t number;
    } items[256];
    int count;
};

static struct inodes written, changed; /* not synced since: files, folders in which a file was renamed */
static bool busy;                      /* a thread is in the lists */

static void remember(struct inodes *inodes, const struct stat *status) {
    for (int i = 0; i < inodes->count; i++)
        if (inodes->items[i].device == status->st_dev && inodes->items[i].number == status->st_ino)
            return;
    if (inodes->count == sizeof inodes->items / sizeof *inodes->items)
        _exit(71); /* no run has so many */
    inodes->items[inodes->count].device = status->st_dev;
    inodes->items[inodes->count++].number = status->st_ino;
}

/* Whether it was there. */
static bool forget(struct inodes *inodes, const struct stat *status) {
    for (int i = 0; i < inodes->count; i++)
        if (inodes->items[i].device == status->st_dev && inodes->items[i].number == status->st_ino) {
            inodes->items[i] = inodes->items[--inodes->count];
            return true;
        }
    return false;
}

static bool status_of(long folder, const char *path, struct stat *status) {
    long a[6] = {folder, (long)path, (long)status, *path ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH};
    *status = (struct stat){0};
    return call_kernel(SYS_newfstatat, a) == 0 && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode));
}

/* A regular file has its new name. A link is made again by the next run, synced or not. */
static void note_rename(long folder, const char *path) {
    char parent[sizeof page->unsynced] = ".";
    struct stat status;
    const char *slash = strrchr(path, '/');
    if (!status_of(folder, path, &status) || !S_ISREG(status.st_mode))
        return;
    if (forget(&written, &status) && !*page->unsynced)
        strncpy(page->unsynced, path, sizeof page->unsynced - 1);
    if (slash) {
        strncpy(parent, path, sizeof parent - 1);
        parent[slash - path + (slash == path)] = '\0'; /* runs have short names here */
    }
    if (status_of(folder, parent, &status))
        remember(&changed, &status);
}

/* A call that changes files has been made, and the kernel has said `result`. */
static void note(int number, const long *a, long result) {
    struct stat status;
    if (!page || result < 0 || __atomic_test_and_set(&busy, __ATOMIC_ACQUIRE))
        return; /* another thread's call: the program changes files in one alone */
    bool sync = number == SYS_fsync || number == SYS_fdatasync;
    bool change = number == SYS_write || number == SYS_pwrite64 || number == SYS_writev || number == SYS_ftruncate;
    if (sync && status_of(a[0], "", &status) && !forget(&written, &status))
        forget(&changed, &status);
    if (change && status_of(a[0], "", &status))
        remember(&written, &status);
    if (number == SYS_renameat2)
        note_rename(a[2], (const char *)a[3]);
#ifdef SYS_renameat
    if (number == SYS_renameat)
        note_rename(a[2], (const char *)a[3]);
#endif
#ifdef SYS_rename
    if (number == SYS_rename)
        note_rename(AT_FDCWD, (const char *)a[1]);
#endif
    page->unsynced_folders = changed.count;
    __atomic_clear(&busy, __ATOMIC_RELEASE);
}

static void answer(int signal, siginfo_t *info, void *context) {
    const struct trapped *failing = NULL;
    long a[6];
    (void)signal;
    arguments_of(context, a);
    for (int i = 0; i < TRAPPED; i++)
        if (trapped[i].number == info->si_syscall && fails(trapped[i].kind))
            failing = &trapped[i];
    if (failing && failing->effect == HALVED)
        a[2] = (a[2] + 1) / 2;
    if (failing && failing->effect == MOVED_AWAY)
        call_kernel(SYS_renameat2, (long[6]){AT_FDCWD, (long)"run", AT_FDCWD, (long)"gone"});
    bool refused = failing && failing->effect == REFUSED;
    long result = refused ? 0 : call_kernel(info->si_syscall, a);
    if (!refused)
        note(info->si_syscall, a, result);
    give(context, failing && failing->error ? -failing->error : result);
}

/* Where the C library's code lies: [begin, end). */
struct range {
    uintptr_t begin, end;
};

static int find_code(struct dl_phdr_info *object, size_t size, void *argument) {
    struct range *code = argument;
    uintptr_t inside;
    __typeof__(getppid) *function = getppid; /* which no sanitizer has its own of */
    (void)size;
    memcpy(&inside, &function, sizeof inside);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) && inside >= begin && inside < begin + part->p_memsz) {
            *code = (struct range){begin, begin + part->p_memsz};
            return 1;
        }
    }
    return 0;
}

static void give_up(const char *why) {
    fprintf(stderr, "inject: %s: %s\n", why, strerror(errno));
    _exit(70);
}

#define LOAD(FIELD) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, FIELD))
#define HIGH_HALF (offsetof(struct seccomp_data, instruction_pointer) + 4)
#define LOW_HALF offsetof(struct seccomp_data, instruction_pointer)

/* Jumps count instructions; the last one allows the call, the one before traps it. */
static void set_trap(struct range code) {
    enum { CHECKS = 8, TOTAL = CHECKS + TRAPPED + 2, ALLOW = TOTAL - 1, TRAP = TOTAL - 2 };
    struct sock_filter filter[TOTAL] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0, ALLOW - 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, HIGH_HALF),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(code.begin >> 32), 0, ALLOW - 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW_HALF),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)code.begin, 0, ALLOW - 6),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)code.end, ALLOW - 7, 0),
        LOAD(nr),
    };
    for (int i = 0; i < TRAPPED; i++)
        filter[CHECKS + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)trapped[i].number,
                                                          (unsigned char)(TRAP - CHECKS - i - 1),
                                                          (unsigned char)(i == TRAPPED - 1 ? 1 : 0));
    filter[TRAP] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    filter[ALLOW] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {TOTAL, filter};
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    errno = ENOSYS;
    if (!MACHINE || sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        give_up("system calls cannot be trapped");
}

/* --- Beginning --------------------------------------------------------------------------------------------------- */

static int (*program_main)(int, char **, char **);
static struct fault_page *shared;

static void prepare(char **argv) {
    const char *path = getenv(FAULTS_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct range code = {0};
    void *stack[1];
    shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        give_up("the file that " FAULTS_VARIABLE " names cannot be mapped");
    close(fd);
    dl_iterate_phdr(find_code, &code);
    if (code.begin >> 32 != code.end >> 32) { /* the filter compares halves; elsewhere, with luck */
        execv("/proc/self/exe", argv);
        give_up("cannot start over");
    }
    backtrace(stack, 1); /* what it allocates the first time does not count */
    set_trap(code);
}

static int run(char **environment) {
    static char *argv[64];
    char *next = shared->arguments;
    int argc = shared->argument_count;
    for (int i = 0; i < argc; i++, next += strlen(next) + 1)
        argv[i] = next;
    close(FAULTS_FD);
    alarm((unsigned)shared->seconds);
    struct rlimit limit = {(rlim_t)shared->file_bytes, (rlim_t)shared->file_bytes};
    if (shared->file_bytes && setrlimit(RLIMIT_FSIZE, &limit))
        give_up("the size of files cannot be limited");
    page = shared;
    counting = true;
    return program_main(argc, argv, environment);
}

/* In place of main; what it returns is the status of one run, or of the process that waits. */
static int serve(int argc, char **argv, char **environment) {
    char request;
    (void)argc;
    prepare(argv);
    if (write(FAULTS_FD, "", 1) != 1)
        _exit(1);
    while (read(FAULTS_FD, &request, 1) == 1) {
        pid_t child = fork();
        int status;
        if (child == 0)
            return run(environment);
        if (child < 0 || waitpid(child, &status, 0) != child || write(FAULTS_FD, &status, sizeof status) < 0)
            give_up("no run could be made");
    }
    _exit(0);
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end);

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end) {
    __typeof__(__libc_start_main) *real;
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    program_main = main;
    return real(serve, argc, argv, init, fini, loader_fini, stack_end);
}
