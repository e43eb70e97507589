// See virtio_state.h.
#include "machine/virtio_state.h"

static unsigned virtio_state_queue(const struct virtio_pci *pci, unsigned queue)
{
    return pci->function.slot << 8 | queue;
}

int virtio_state_save(struct virtio_pci *pci, struct state_writer *writer, struct error *error)
{
    struct virtio *virtio = pci->virtio;
    unsigned slot = pci->function.slot;
    struct pci_state function;
    struct virtio_pci_saved saved;
    pci_save(&pci->function, &function);
    virtio_pci_save(pci, &saved);
    int result = state_writer_put(writer, &pci_section, slot, &function, error);
    if (!result)
        result = state_writer_put(writer, &virtio_pci_section, slot, &saved, error);
    for (unsigned i = 0; !result && i < virtio->type->queues; i++)
        result = state_writer_put(writer, &virtqueue_section, virtio_state_queue(pci, i), &saved.device.queues[i],
                                  error);
    if (!result && virtio->type->state) {
        pthread_mutex_lock(&virtio->lock);
        result = state_writer_put(writer, virtio->type->state, slot, virtio, error);
        pthread_mutex_unlock(&virtio->lock);
    }
    return result;
}

int virtio_state_restore(struct virtio_pci *pci, struct board *board, struct state_reader *reader, struct error *error)
{
    struct virtio *virtio = pci->virtio;
    unsigned slot = pci->function.slot;
    struct pci_state function;
    struct virtio_pci_saved saved = {0};
    int result = state_reader_take(reader, &pci_section, slot, &function, error);
    if (!result)
        result = board_restore_function(board, &pci->function, &function, error);
    if (!result)
        result = state_reader_take(reader, &virtio_pci_section, slot, &saved, error);
    for (unsigned i = 0; !result && i < virtio->type->queues; i++)
        result = state_reader_take(reader, &virtqueue_section, virtio_state_queue(pci, i), &saved.device.queues[i],
                                   error);
    if (!result)
        result = virtio_pci_restore(pci, &saved, error);
    if (!result && virtio->type->state) {
        pthread_mutex_lock(&virtio->lock);
        result = state_reader_take(reader, virtio->type->state, slot, virtio, error);
        pthread_mutex_unlock(&virtio->lock);
    }
    return result;
}
