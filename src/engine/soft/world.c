// See world.h.
#include "engine/soft/world.h"

#include <sched.h>

void world_enter(struct cpu *cpu)
{
    struct engine_vm *vm = cpu->vm;
    pthread_mutex_lock(&vm->lock);
    while (vm->stop_depth)
        pthread_cond_wait(&vm->resumed, &vm->lock);
    vm->running++;
    cpu->running = true;
    pthread_mutex_unlock(&vm->lock);
}

void world_leave(struct cpu *cpu)
{
    struct engine_vm *vm = cpu->vm;
    pthread_mutex_lock(&vm->lock);
    vm->running--;
    cpu->running = false;
    pthread_cond_broadcast(&vm->stopped);
    pthread_mutex_unlock(&vm->lock);
}

void world_pause(struct cpu *cpu)
{
    if (atomic_load(&cpu->request) & REQUEST_STOP) {
        atomic_fetch_and(&cpu->request, ~(u32)REQUEST_STOP);
        world_leave(cpu);
        world_enter(cpu);
    } else {
        sched_yield();
    }
}

void world_stop(struct engine_vm *vm, struct cpu *self)
{
    pthread_mutex_lock(&vm->lock);
    if (self)
        vm->running--;
    pthread_cond_broadcast(&vm->stopped);
    while (vm->stop_depth) // another stopper: be stopped by it
        pthread_cond_wait(&vm->resumed, &vm->lock);
    vm->stop_depth++;
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
        if (vm->cpu[i] && vm->cpu[i] != self && vm->cpu[i]->running)
            cpu_request(vm->cpu[i], REQUEST_STOP);
    while (vm->running)
        pthread_cond_wait(&vm->stopped, &vm->lock);
    if (self)
        vm->running++;
    pthread_mutex_unlock(&vm->lock);
}

void world_resume(struct engine_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->stop_depth--;
    pthread_cond_broadcast(&vm->resumed);
    pthread_mutex_unlock(&vm->lock);
}
