// What a virtual CPU is to the rest of nidus. The interface is the KVM API: requests are KVM's ioctl numbers, arguments
// KVM's structures, results KVM's (>= 0, or a negative errno). Everybody in this field knows it, it has words for
// nested state, dirty pages and saved state, it makes the hardware engine a thin forwarder, and one day it lets the
// soft engine stand in for /dev/kvm itself.
//
// Interrupt controllers are split (KVM_CAP_SPLIT_IRQCHIP): the local APICs belong to the engine; PIC, IOAPIC and PIT
// are on the board, one copy for every engine. The board reaches a local APIC with KVM_SIGNAL_MSI, asks for level-EOI
// exits with KVM_SET_GSI_ROUTING, and injects the PIC's ExtINT with KVM_INTERRUPT when kvm_run says it is ready.
#pragma once

#include <linux/kvm.h>

#include "base/error.h"
#include "base/types.h"

struct engine_vm;   // one per VM, owned by the caller of open until close
struct engine_vcpu; // one per virtual processor, owned by the VM's creator until vcpu_destroy

enum engine_vendor { ENGINE_VENDOR_HOST, ENGINE_VENDOR_INTEL, ENGINE_VENDOR_AMD };

// Which events the soft engine writes to `trace_fd`, one line each.
enum engine_trace {
    ENGINE_TRACE_EXITS = 1 << 0,
    ENGINE_TRACE_FAULTS = 1 << 1,
    ENGINE_TRACE_BLOCKS = 1 << 2,
    ENGINE_TRACE_VMX = 1 << 3,
};

enum { ENGINE_MAX_VCPUS = 64 };

struct engine_config {
    enum engine_vendor vendor;
    bool nested;     // expose virtualization extensions to the VM
    unsigned vcpus;  // how many will be created, 1..ENGINE_MAX_VCPUS
    unsigned trace;  // enum engine_trace
    int trace_fd;    // -1: standard error
    int device;      // /dev/kvm, opened by who could; stays the caller's. 0: an engine that needs it opens it
};

// What hypervisors in the VM do with its virtualization extensions.
enum engine_extension { ENGINE_EXTENSION_NONE, ENGINE_EXTENSION_VMX, ENGINE_EXTENSION_SVM };

struct engine_nested_status {
    enum engine_extension extension; // that is turned on now
    unsigned on;       // vCPUs with it turned on: VMXON was executed (and VMXOFF not), EFER.SVME is set
    unsigned in_guest; // vCPUs in guest mode this moment
    u64 launched;      // different guests launched since the VM was created: VMCSs, VMCBs
};

struct engine {
    const char *name;    // "soft", "kvm": what --engine takes
    const char *summary; // one line for help

    // Whether this host can give what `config` asks for. 0, or -1 with the reason and the way out in `error`.
    int (*probe)(const struct engine_config *config, struct error *error);

    int (*open)(const struct engine_config *config, struct engine_vm **vm, struct error *error);
    void (*close)(struct engine_vm *vm); // after all vCPUs were destroyed

    // Any thread. KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG, KVM_SIGNAL_MSI, KVM_SET_GSI_ROUTING,
    // KVM_CHECK_EXTENSION, KVM_GET_SUPPORTED_CPUID (what this VM may show its guest), KVM_GET_MSR_INDEX_LIST. -ENOTTY
    // where an engine does not know a request.
    int (*vm_ioctl)(struct engine_vm *vm, unsigned long request, void *argument);

    int (*vcpu_create)(struct engine_vm *vm, unsigned id, struct engine_vcpu **vcpu, struct error *error);
    void (*vcpu_destroy)(struct engine_vcpu *vcpu);

    // The shared run area: valid from create to destroy, written by the vCPU's thread inside KVM_RUN only.
    struct kvm_run *(*vcpu_run_area)(struct engine_vcpu *vcpu);

    // One thread at a time: KVM_RUN is the vCPU's own thread's, the rest any thread's while that is outside KVM_RUN.
    // KVM_RUN (0 with run->exit_reason, or -EINTR after a kick), KVM_GET/SET_REGS, SREGS, SREGS2, FPU, XSAVE, XCRS,
    // MSRS, LAPIC, VCPU_EVENTS, MP_STATE, DEBUGREGS, NESTED_STATE, KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_INTERRUPT,
    // KVM_NMI, KVM_TRANSLATE, KVM_GET_TSC_KHZ, KVM_GET/SET/HAS_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET. -ENOTTY for others.
    // State is complete after KVM_RUN with run->immediate_exit set has returned -EINTR.
    int (*vcpu_ioctl)(struct engine_vcpu *vcpu, unsigned long request, void *argument);

    // Any thread: the vCPU leaves KVM_RUN with -EINTR soon (or at once the next time it enters). Never blocks.
    void (*vcpu_kick)(struct engine_vcpu *vcpu);

    // Any thread: guest RAM [gpa, gpa+bytes) was written by something that is not a vCPU (a device's DMA, the loader).
    // The soft engine drops translations of that code; NULL where the hardware does so itself.
    void (*memory_written)(struct engine_vm *vm, u64 gpa, u64 bytes);

    // Any thread, while no vCPU is created or destroyed; never waits for one. KVM answers such questions only between
    // two KVM_RUNs, so the kvm engine interrupts the vCPUs and answers with what they said after the question before;
    // of launched guests it knows those that it saw then.
    void (*nested_status)(struct engine_vm *vm, struct engine_nested_status *status);
};

extern const struct engine engine_soft;
extern const struct engine engine_kvm;
