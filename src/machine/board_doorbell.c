// See board_doorbell.h.
#include "machine/board_doorbell.h"

static bool board_doorbell_can(const struct engine *engine, struct engine_vm *vm, unsigned long capability)
{
    return engine->vm_ioctl(vm, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability) > 0;
}

void board_doorbell_init(struct board_doorbells *doorbells, const struct engine *engine, struct engine_vm *vm)
{
    const bool can = engine && board_doorbell_can(engine, vm, KVM_CAP_IOEVENTFD) &&
                     board_doorbell_can(engine, vm, KVM_CAP_IOEVENTFD_ANY_LENGTH);
    *doorbells = (struct board_doorbells){.engine = engine, .vm = vm, .most = can ? BOARD_DOORBELLS : 0};
}

// Without a length KVM need not even decode the instruction that writes.
static bool board_doorbell_tell(struct board_doorbells *doorbells, const struct board_doorbell *doorbell, u32 flags)
{
    struct kvm_ioeventfd ring = {.addr = doorbell->gpa, .len = 0, .fd = doorbell->fd, .flags = flags};
    return doorbells->engine->vm_ioctl(doorbells->vm, KVM_IOEVENTFD, &ring) >= 0;
}

void board_doorbell_hand_over(struct board_doorbells *doorbells, const struct pci_function *function, u64 gpa, int fd)
{
    const struct board_doorbell doorbell = {.function = function, .gpa = gpa, .fd = fd};
    if (!board_doorbell_room(doorbells))
        return;
    for (unsigned i = 0; i < doorbells->count; i++)
        if (doorbells->rung[i].gpa == gpa)
            return; // by another vCPU, meanwhile
    if (board_doorbell_tell(doorbells, &doorbell, 0))
        doorbells->rung[doorbells->count++] = doorbell;
    else
        doorbells->most = doorbells->count; // not asked again at every ring
}

void board_doorbell_take_back(struct board_doorbells *doorbells, const struct pci_function *function)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < doorbells->count; i++)
        if (doorbells->rung[i].function == function)
            board_doorbell_tell(doorbells, &doorbells->rung[i], KVM_IOEVENTFD_FLAG_DEASSIGN);
        else
            doorbells->rung[kept++] = doorbells->rung[i];
    doorbells->count = kept;
}
