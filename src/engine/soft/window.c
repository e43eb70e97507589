// See window.h.
#include "engine/soft/window.h"

#include <sys/mman.h>
#include <unistd.h>

struct cpu *window_create_cpu(void)
{
    int fd = memfd_create("nidus-vcpu", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct cpu *cpu = MAP_FAILED;
    if (ftruncate(fd, CPU_STATE_BYTES) == 0)
        cpu = mmap(NULL, CPU_STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (cpu == MAP_FAILED) {
        close(fd);
        return NULL;
    }
    cpu->state_fd = fd;
    cpu->self = cpu;
    return cpu;
}

void window_destroy_cpu(struct cpu *cpu)
{
    if (!cpu)
        return;
    close(cpu->state_fd);
    munmap(cpu, CPU_STATE_BYTES);
}

u8 *window_map(const struct cpu *cpu)
{
    u8 *window = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED)
        return NULL;
    // Populated, because a page fault of the host in front of every context's first use would cost more than the
    // mapping.
    void *state = mmap(window, CPU_STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
                       cpu->state_fd, 0);
    if (state == MAP_FAILED) {
        munmap(window, WINDOW_BYTES);
        return NULL;
    }
    return window;
}

u8 *window_reserve(void)
{
    u8 *window = mmap(NULL, WINDOW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return window == MAP_FAILED ? NULL : window;
}

void window_unmap(u8 *window)
{
    if (window)
        munmap(window, WINDOW_BYTES);
}
