// The VMCS (SDM 3C chapter 25 and appendix B). Its contents live in the guest's own RAM, in the page whose address
// VMPTRLD was given, in a layout of our own: so VMCLEAR has nothing to write back, saved state needs nothing beyond
// the RAM and two addresses, and a hypervisor in the VM may keep as many VMCSs as it likes at no cost to us. The
// price: guest code can write to the page behind our back. The architecture leaves that undefined; here it must do no
// harm to the monitor, so whatever is read from the page counts as a guest's value, and nothing in it is a host
// pointer, an index or a count we trust.
#pragma once

#include "engine/soft/cpu.h"

enum { VMCS_REVISION = 0x4e443031, VMCS_SHADOW = (int)(1u << 31), VMCS_BYTES = PAGE_BYTES };

// Order of the segment arrays below: as the encodings run. TR and LDTR are the other way round in struct cpu.
enum { VMCS_ES, VMCS_CS, VMCS_SS, VMCS_DS, VMCS_FS, VMCS_GS, VMCS_LDTR, VMCS_TR, VMCS_SEGMENTS };

struct vmcs {
    u32 revision;  // bit 31: a shadow VMCS
    u32 abort;     // VMX-abort indicator
    u32 launched;
    u32 counted;   // among cpu->guests_launched: VMCLEAR does not end a guest, a hypervisor moves one with it

    // Controls.
    u32 pin_controls, cpu_controls, cpu_controls2, exit_controls, entry_controls;
    u32 exception_bitmap, pf_error_mask, pf_error_match, cr3_target_count;
    u32 exit_store_count, exit_load_count, entry_load_count;
    u32 entry_interruption, entry_error, entry_length;
    u32 tpr_threshold, ple_gap, ple_window;
    u16 vpid, posted_vector, eptp_index, pad0;
    u64 io_bitmap_a, io_bitmap_b, msr_bitmap, exit_store, exit_load, entry_load, executive, pml;
    u64 tsc_offset, virtual_apic, apic_access, posted_descriptor, eptp, eoi_exit[4];
    u64 vmread_bitmap, vmwrite_bitmap, xss_exiting, tsc_multiplier;
    u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow, cr3_target[4];

    // What an exit tells.
    u32 instruction_error, exit_reason, exit_interruption, exit_error, idt_vectoring, idt_error;
    u32 exit_length, exit_information;
    u64 guest_physical, qualification, io_rcx, io_rsi, io_rdi, io_rip, guest_linear;

    // Guest state.
    u16 guest_selector[VMCS_SEGMENTS];
    u16 interrupt_status, pml_index, pad1[2];
    u32 guest_limit[VMCS_SEGMENTS], guest_access[VMCS_SEGMENTS];
    u32 guest_gdtr_limit, guest_idtr_limit, interruptibility, activity, smbase, guest_sysenter_cs;
    u32 preemption_timer, pad2;
    u64 guest_base[VMCS_SEGMENTS], guest_gdtr_base, guest_idtr_base;
    u64 link, guest_debugctl, guest_pat, guest_efer, guest_pdpte[4];
    u64 guest_cr0, guest_cr3, guest_cr4, guest_dr7, guest_rsp, guest_rip, guest_rflags, pending_debug;
    u64 guest_sysenter_esp, guest_sysenter_eip;

    // Host state.
    u16 host_selector[VMCS_SEGMENTS]; // VMCS_LDTR is no field
    u32 host_sysenter_cs, pad3;
    u64 host_pat, host_efer, host_cr0, host_cr3, host_cr4, host_fs_base, host_gs_base, host_tr_base;
    u64 host_gdtr_base, host_idtr_base, host_sysenter_esp, host_sysenter_eip, host_rsp, host_rip;
};
static_assert(sizeof(struct vmcs) <= VMCS_BYTES, "a VMCS region is one page (IA32_VMX_BASIC)");

// The one table of fields: encoding (SDM 3C appendix B) and place. The encoding says width, kind and access by itself.
#define VMCS_FIELDS(X) \
    X(0x0000, vpid) X(0x0002, posted_vector) \
    X(0x0800, guest_selector[VMCS_ES]) X(0x0802, guest_selector[VMCS_CS]) X(0x0804, guest_selector[VMCS_SS]) \
    X(0x0806, guest_selector[VMCS_DS]) X(0x0808, guest_selector[VMCS_FS]) X(0x080a, guest_selector[VMCS_GS]) \
    X(0x080c, guest_selector[VMCS_LDTR]) X(0x080e, guest_selector[VMCS_TR]) \
    X(0x0810, interrupt_status) X(0x0812, pml_index) \
    X(0x0c00, host_selector[VMCS_ES]) X(0x0c02, host_selector[VMCS_CS]) X(0x0c04, host_selector[VMCS_SS]) \
    X(0x0c06, host_selector[VMCS_DS]) X(0x0c08, host_selector[VMCS_FS]) X(0x0c0a, host_selector[VMCS_GS]) \
    X(0x0c0c, host_selector[VMCS_TR]) \
    X(0x2000, io_bitmap_a) X(0x2002, io_bitmap_b) X(0x2004, msr_bitmap) X(0x2006, exit_store) X(0x2008, exit_load) \
    X(0x200a, entry_load) X(0x200c, executive) X(0x200e, pml) X(0x2010, tsc_offset) X(0x2012, virtual_apic) \
    X(0x2014, apic_access) X(0x2016, posted_descriptor) X(0x201a, eptp) \
    X(0x201c, eoi_exit[0]) X(0x201e, eoi_exit[1]) X(0x2020, eoi_exit[2]) X(0x2022, eoi_exit[3]) \
    X(0x2026, vmread_bitmap) X(0x2028, vmwrite_bitmap) X(0x202c, xss_exiting) X(0x2032, tsc_multiplier) \
    X(0x2400, guest_physical) \
    X(0x2800, link) X(0x2802, guest_debugctl) X(0x2804, guest_pat) X(0x2806, guest_efer) \
    X(0x280a, guest_pdpte[0]) X(0x280c, guest_pdpte[1]) X(0x280e, guest_pdpte[2]) X(0x2810, guest_pdpte[3]) \
    X(0x2c00, host_pat) X(0x2c02, host_efer) \
    X(0x4000, pin_controls) X(0x4002, cpu_controls) X(0x4004, exception_bitmap) X(0x4006, pf_error_mask) \
    X(0x4008, pf_error_match) X(0x400a, cr3_target_count) X(0x400c, exit_controls) X(0x400e, exit_store_count) \
    X(0x4010, exit_load_count) X(0x4012, entry_controls) X(0x4014, entry_load_count) X(0x4016, entry_interruption) \
    X(0x4018, entry_error) X(0x401a, entry_length) X(0x401c, tpr_threshold) X(0x401e, cpu_controls2) \
    X(0x4020, ple_gap) X(0x4022, ple_window) \
    X(0x4400, instruction_error) X(0x4402, exit_reason) X(0x4404, exit_interruption) X(0x4406, exit_error) \
    X(0x4408, idt_vectoring) X(0x440a, idt_error) X(0x440c, exit_length) X(0x440e, exit_information) \
    X(0x4800, guest_limit[VMCS_ES]) X(0x4802, guest_limit[VMCS_CS]) X(0x4804, guest_limit[VMCS_SS]) \
    X(0x4806, guest_limit[VMCS_DS]) X(0x4808, guest_limit[VMCS_FS]) X(0x480a, guest_limit[VMCS_GS]) \
    X(0x480c, guest_limit[VMCS_LDTR]) X(0x480e, guest_limit[VMCS_TR]) \
    X(0x4810, guest_gdtr_limit) X(0x4812, guest_idtr_limit) \
    X(0x4814, guest_access[VMCS_ES]) X(0x4816, guest_access[VMCS_CS]) X(0x4818, guest_access[VMCS_SS]) \
    X(0x481a, guest_access[VMCS_DS]) X(0x481c, guest_access[VMCS_FS]) X(0x481e, guest_access[VMCS_GS]) \
    X(0x4820, guest_access[VMCS_LDTR]) X(0x4822, guest_access[VMCS_TR]) \
    X(0x4824, interruptibility) X(0x4826, activity) X(0x4828, smbase) X(0x482a, guest_sysenter_cs) \
    X(0x482e, preemption_timer) \
    X(0x4c00, host_sysenter_cs) \
    X(0x6000, cr0_mask) X(0x6002, cr4_mask) X(0x6004, cr0_shadow) X(0x6006, cr4_shadow) \
    X(0x6008, cr3_target[0]) X(0x600a, cr3_target[1]) X(0x600c, cr3_target[2]) X(0x600e, cr3_target[3]) \
    X(0x6400, qualification) X(0x6402, io_rcx) X(0x6404, io_rsi) X(0x6406, io_rdi) X(0x6408, io_rip) \
    X(0x640a, guest_linear) \
    X(0x6800, guest_cr0) X(0x6802, guest_cr3) X(0x6804, guest_cr4) \
    X(0x6806, guest_base[VMCS_ES]) X(0x6808, guest_base[VMCS_CS]) X(0x680a, guest_base[VMCS_SS]) \
    X(0x680c, guest_base[VMCS_DS]) X(0x680e, guest_base[VMCS_FS]) X(0x6810, guest_base[VMCS_GS]) \
    X(0x6812, guest_base[VMCS_LDTR]) X(0x6814, guest_base[VMCS_TR]) X(0x6816, guest_gdtr_base) \
    X(0x6818, guest_idtr_base) X(0x681a, guest_dr7) X(0x681c, guest_rsp) X(0x681e, guest_rip) \
    X(0x6820, guest_rflags) X(0x6822, pending_debug) X(0x6824, guest_sysenter_esp) X(0x6826, guest_sysenter_eip) \
    X(0x6c00, host_cr0) X(0x6c02, host_cr3) X(0x6c04, host_cr4) X(0x6c06, host_fs_base) X(0x6c08, host_gs_base) \
    X(0x6c0a, host_tr_base) X(0x6c0c, host_gdtr_base) X(0x6c0e, host_idtr_base) X(0x6c10, host_sysenter_esp) \
    X(0x6c12, host_sysenter_eip) X(0x6c14, host_rsp) X(0x6c16, host_rip)

// An encoding's parts (SDM 3C 25.11.2).
enum vmcs_width { VMCS_WIDTH_16, VMCS_WIDTH_64, VMCS_WIDTH_32, VMCS_WIDTH_NATURAL };
enum vmcs_kind { VMCS_CONTROL, VMCS_READ_ONLY, VMCS_GUEST, VMCS_HOST };
enum { VMCS_FIELD_INDEX_MAX = 31, VMCS_ENCODING_HIGH = 1 };

static inline enum vmcs_width vmcs_width(u32 encoding) { return (enum vmcs_width)(encoding >> 13 & 3); }
static inline enum vmcs_kind vmcs_kind(u32 encoding) { return (enum vmcs_kind)(encoding >> 10 & 3); }

bool vmcs_field_exists(u64 encoding);
u64 vmcs_field_read(const struct vmcs *vmcs, u32 encoding);              // of a field that exists
void vmcs_field_write(struct vmcs *vmcs, u32 encoding, u64 value);       // the same; cuts to the width
unsigned vmcs_field_highest_index(void);                                 // IA32_VMX_VMCS_ENUM
const char *vmcs_field_name(u32 encoding);                               // for traces; "?" when there is none
