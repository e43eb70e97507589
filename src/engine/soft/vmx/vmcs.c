// Finding a field by its encoding is on the path of every VMREAD and VMWRITE, so the table is expanded into an array
// indexed by the encoding's width, kind and index, two bytes an entry: one load says place and existence.
#include "engine/soft/vmx/vmcs.h"

// The encoding's bits 14:13, 11:10 and 5:1 put side by side.
#define VMCS_SLOT(encoding) (((encoding) >> 13 & 3) << 7 | ((encoding) >> 10 & 3) << 5 | ((encoding) >> 1 & 31))
#define VMCS_SIZE(encoding) \
    (((encoding) >> 13 & 3) == VMCS_WIDTH_16 ? 2 : ((encoding) >> 13 & 3) == VMCS_WIDTH_32 ? 4 : 8)

#define CHECK_WIDTH(encoding, member) \
    static_assert(sizeof(((struct vmcs *)0)->member) == VMCS_SIZE(encoding), "width of the field at " #encoding); \
    static_assert(((encoding) & ~0x6c3eu) == 0, "index and reserved bits of " #encoding);
VMCS_FIELDS(CHECK_WIDTH)

#define PLACE(encoding, member) [VMCS_SLOT(encoding)] = offsetof(struct vmcs, member),
static const u16 place[512] = {VMCS_FIELDS(PLACE)}; // 0: no such field (offset 0 is the revision)

bool vmcs_field_exists(u64 encoding)
{
    if (encoding & ~(u64)(0x6c3e | VMCS_ENCODING_HIGH) || !place[VMCS_SLOT(encoding)])
        return false;
    return !(encoding & VMCS_ENCODING_HIGH) || vmcs_width(encoding) == VMCS_WIDTH_64;
}

u64 vmcs_field_read(const struct vmcs *vmcs, u32 encoding)
{
    const u8 *at = (const u8 *)vmcs + place[VMCS_SLOT(encoding)];
    switch (vmcs_width(encoding)) {
    case VMCS_WIDTH_16: return *(const u16 *)at;
    case VMCS_WIDTH_32: return *(const u32 *)at;
    case VMCS_WIDTH_64: return encoding & VMCS_ENCODING_HIGH ? *(const u64 *)at >> 32 : *(const u64 *)at;
    default: return *(const u64 *)at;
    }
}

void vmcs_field_write(struct vmcs *vmcs, u32 encoding, u64 value)
{
    u8 *at = (u8 *)vmcs + place[VMCS_SLOT(encoding)];
    switch (vmcs_width(encoding)) {
    case VMCS_WIDTH_16: *(u16 *)at = (u16)value; break;
    case VMCS_WIDTH_32: *(u32 *)at = (u32)value; break;
    case VMCS_WIDTH_64:
        if (encoding & VMCS_ENCODING_HIGH)
            *(u32 *)(at + 4) = (u32)value;
        else
            *(u64 *)at = value;
        break;
    default: *(u64 *)at = value;
    }
}

unsigned vmcs_field_highest_index(void)
{
    unsigned highest = 0;
    for (unsigned slot = 0; slot < ARRAY_SIZE(place); slot++)
        if (place[slot] && (slot & VMCS_FIELD_INDEX_MAX) > highest)
            highest = slot & VMCS_FIELD_INDEX_MAX;
    return highest;
}

const char *vmcs_field_name(u32 encoding)
{
    switch (encoding & ~(u32)VMCS_ENCODING_HIGH) {
#define NAME(code, member) case code: return #member;
        VMCS_FIELDS(NAME)
    default: return "?";
    }
}
