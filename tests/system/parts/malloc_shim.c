/*
 * malloc_shim: memory that is sometimes refused. For LD_PRELOAD, in tests.
 *
 * On threads whose name begins with "net", one of `every` requests fails, at random; 0: none does.
 * Both numbers are in the file MALLOC_SHIM_FILE, 8 bytes each in the machine's order, so that a
 * test can write `every` and read `failed` while the program runs. What libuv asks for itself is
 * always given: it ends the process otherwise, and says so in its manual.
 */
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own, under the names that it keeps for programs like this. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

/* Not the model that asks malloc for its own place. */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

static struct {
    _Atomic uint64_t every, failed;
} nobody, *orders = (void *)&nobody;
static uintptr_t uv_begin, uv_end;
static THREAD_LOCAL uint64_t state, asked;
static THREAD_LOCAL int meant;

static int find_uv(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    if (strstr(info->dlpi_name, "libuv.so") == NULL) {
        return 0;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
            uv_begin = begin;
            uv_end = begin + info->dlpi_phdr[i].p_memsz;
        }
    }
    return 1;
}

__attribute__((constructor)) static void begin(void)
{
    (void)dl_iterate_phdr(find_uv, NULL);
    const char *path = getenv("MALLOC_SHIM_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) {
        orders = at;
    }
}

/* The name may come after the thread's first requests, so it is looked at now and then. */
static int is_meant(void)
{
    if (!meant && asked++ % 64 == 0) {
        char name[16] = "";
        meant = pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 &&
                strncmp(name, "net", 3) == 0;
    }
    return meant;
}

static int refuse(void *caller)
{
    uint64_t every = atomic_load_explicit(&orders->every, memory_order_relaxed);
    if (every == 0 || !is_meant() ||
        ((uintptr_t)caller >= uv_begin && (uintptr_t)caller < uv_end)) {
        return 0;
    }
    state = state * 6364136223846793005u + 1442695040888963407u;
    if ((state >> 33) % every != 0) {
        return 0;
    }
    atomic_fetch_add_explicit(&orders->failed, 1, memory_order_relaxed);
    return 1;
}

void *malloc(size_t size)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    return refuse(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}
