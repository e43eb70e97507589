// What an instruction asks of its memory operand beside being there, for the slow path: things the host would check
// only on an access that is made, and too late when C has to resolve the address first.
#pragma once

#include "engine/soft/translate.h"

// The kind of the slow path's argument, beside SLOW_READ and SLOW_WRITE.
unsigned demand_access(const struct decoded *d, const ZydisDecodedOperand *op);

// SLOW_MASKED: how the EVEX writemask selects the elements of the operand.
#define DEMAND_MASK(reg, log2_element, log2_copies, count) \
    ((u32)(reg) | (u32)(log2_element) << 3 | (u32)(log2_copies) << 5 | (u32)((count) - 1) << 8)
#define DEMAND_MASK_REGISTER(demand) ((demand) & 7)
#define DEMAND_MASK_ELEMENT(demand) (1u << ((demand) >> 3 & 3))
#define DEMAND_MASK_COPIES(demand) (1u << ((demand) >> 5 & 7)) // times that a broadcast uses each element
#define DEMAND_MASK_COUNT(demand) (((demand) >> 8 & 63) + 1)
u32 demand_mask(const struct decoded *d, const ZydisDecodedOperand *op);
