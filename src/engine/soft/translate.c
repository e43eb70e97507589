// Guest bytes -> a block. Decodes along the fall-through path, works out which arithmetic flags anybody still reads,
// and lets copy.c, flow.c and probe.c emit. Runs with the cache's lock held and the guest's vector state saved, because
// Zydis is compiled with vector code.
#include "engine/soft/translate.h"

#include <string.h>

#include "engine/soft/opcode_variant.h"

enum { FLAGS_ALL = 0x3f };

// CF PF AF ZF SF OF, packed.
static u8 flags_pack(u32 flags)
{
    return (u8)((flags & 1) | (flags >> 2 & 1) << 1 | (flags >> 4 & 1) << 2 | (flags >> 6 & 1) << 3 |
                (flags >> 7 & 1) << 4 | (flags >> 11 & 1) << 5);
}

// Shifts and rotates by zero leave the flags as they were, and divisions, which may fault, leave some of them.
static bool flags_conditional(const struct decoded *d)
{
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_DIV: case ZYDIS_MNEMONIC_IDIV:
        return true;
    case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR: case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR: case ZYDIS_MNEMONIC_RCL: case ZYDIS_MNEMONIC_RCR: case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
        break;
    default:
        return false;
    }
    const ZydisDecodedOperand *count = &d->operand[d->zydis.operand_count_visible - 1];
    if (count->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return true;
    unsigned mask = d->operand[0].size == 64 ? 63 : 31;
    return (count->imm.value.u & mask) == 0;
}

static void flags_of(struct decoded *d)
{
    const ZydisAccessedFlags *flags = d->zydis.cpu_flags;
    d->reads = d->writes = d->kills = 0;
    if (d->opcode->class == OPCODE_SYSTEM || d->opcode->class == OPCODE_INVALID) {
        d->reads = FLAGS_ALL;
        return;
    }
    if (!flags)
        return;
    d->reads = flags_pack(flags->tested);
    d->writes = flags_pack(flags->modified | flags->set_0 | flags->set_1 | flags->undefined);
    d->kills = flags_conditional(d) ? 0 : d->writes;
    if (d->zydis.meta.category == ZYDIS_CATEGORY_ROTATE) // by more than one: OF is undefined, which is to say kept
        d->kills &= (u8)~flags_pack(flags->undefined);
}

static void flags_liveness(struct translation *t)
{
    u8 live = FLAGS_ALL;
    for (unsigned i = t->count; i-- > 0;) {
        struct decoded *d = &t->insn[i];
        if (d->opcode->class == OPCODE_FLOW && !(d->through && d->zydis.mnemonic == ZYDIS_MNEMONIC_JMP))
            live = FLAGS_ALL; // a side exit's target may read them
        d->live_out = live;
        live = (u8)((live & ~d->kills) | d->reads);
    }
}

static bool accesses_memory(const struct decoded *d)
{
    return d->opcode->class == OPCODE_STACK || (d->opcode->class == OPCODE_COPY && copy_memory_operand(d)) ||
           (d->opcode->class == OPCODE_FLOW &&
            (d->zydis.mnemonic == ZYDIS_MNEMONIC_CALL || d->zydis.mnemonic == ZYDIS_MNEMONIC_RET ||
             d->operand[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE));
}

// Where the block wants to find the flags it starts with.
static enum flags_place flags_at_entry(const struct translation *t)
{
    u8 live = (u8)((t->insn[0].live_out & ~t->insn[0].kills) | t->insn[0].reads);
    if (!live)
        return FLAGS_BOTH;
    for (unsigned i = 0; i < t->count; i++) {
        const struct decoded *d = &t->insn[i];
        if (accesses_memory(d) || d->opcode->class == OPCODE_SYSTEM || d->opcode->class == OPCODE_INVALID)
            return FLAGS_MEMORY;
        if (d->reads || d->writes)
            return FLAGS_LIVE;
    }
    return FLAGS_LIVE;
}

// The vector an instruction raises because its state is switched off, or -1.
static int state_fault(const struct translation *t, const struct decoded *d)
{
    bool x87 = d->zydis.meta.isa_ext == ZYDIS_ISA_EXT_X87, mmx = false, xmm = false, mask = false;
    for (unsigned i = 0; i < d->zydis.operand_count; i++) {
        if (d->operand[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        switch (ZydisRegisterGetClass(d->operand[i].reg.value)) {
        case ZYDIS_REGCLASS_MMX: mmx = true; break;
        case ZYDIS_REGCLASS_XMM: case ZYDIS_REGCLASS_YMM: case ZYDIS_REGCLASS_ZMM: xmm = true; break;
        case ZYDIS_REGCLASS_MASK: mask = true; break;
        default: break;
        }
    }
    mmx |= d->zydis.meta.isa_ext == ZYDIS_ISA_EXT_MMX;
    bool vex = d->zydis.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX,
        evex = d->zydis.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    int nm_or_ud = t->mode & MODE_SSE_NM ? VECTOR_NM : VECTOR_UD;
    if ((vex || evex) && !(t->mode & MODE_PROTECTED))
        return VECTOR_UD;
    if (d->zydis.mnemonic == ZYDIS_MNEMONIC_FWAIT)
        return t->mode & MODE_FWAIT_NM ? VECTOR_NM : -1;
    if (evex || (vex && mask))
        return t->mode & MODE_AVX512 ? -1 : nm_or_ud;
    if (vex && (xmm || d->zydis.mnemonic == ZYDIS_MNEMONIC_VZEROALL || d->zydis.mnemonic == ZYDIS_MNEMONIC_VZEROUPPER))
        return t->mode & MODE_AVX ? -1 : nm_or_ud;
    if (x87)
        return t->mode & MODE_X87 ? -1 : VECTOR_NM;
    if (mmx && !(t->mode & MODE_X87))
        return t->mode & MODE_X87_EM ? VECTOR_UD : VECTOR_NM;
    if (xmm || d->zydis.mnemonic == ZYDIS_MNEMONIC_STMXCSR)
        return t->mode & MODE_SSE ? -1 : nm_or_ud;
    return -1;
}

static const struct opcode raise_ud = { .class = OPCODE_INVALID };

static void decoder_init(ZydisDecoder *decoder, mode_word mode)
{
    if (mode & MODE_CODE64)
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else
        ZydisDecoderInit(decoder, mode & MODE_CODE32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                         mode & MODE_STACK32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
}

// Branches and the stack have generated code only where linear addresses are effective addresses and all is one width.
bool flow_inline(const struct translation *t, const struct decoded *d)
{
    if (t->mode & MODE_STEP)
        return false;
    bool code64 = t->mode & MODE_CODE64;
    if (!code64 && (t->mode & (MODE_CODE32 | MODE_FLAT | MODE_STACK32)) != (MODE_CODE32 | MODE_FLAT | MODE_STACK32))
        return false;
    bool counts = d->zydis.mnemonic == ZYDIS_MNEMONIC_LOOP || d->zydis.mnemonic == ZYDIS_MNEMONIC_JRCXZ ||
                  d->zydis.mnemonic == ZYDIS_MNEMONIC_JECXZ;
    if (d->zydis.operand_width != (code64 ? 64 : 32) && !(counts && code64))
        return false;
    if (d->zydis.mnemonic == ZYDIS_MNEMONIC_LOOP && d->zydis.address_width == 16)
        return false;
    if (d->zydis.mnemonic == ZYDIS_MNEMONIC_RET && flow_return_extra(d) + 8 > SITE_RSP_MOST)
        return false;
    return !(d->zydis.mnemonic == ZYDIS_MNEMONIC_POP && d->operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY);
}

// Where the decoder disagrees with processors: with 32-bit addresses it takes R13D for a base that is none (ModRM.mod 0
// and SIB base 5 mean a displacement alone whatever REX.B says, SDM 2A 2.2.1.2), and MOVSXD with a 16-bit operand size
// reads two bytes.
static void decode_correct(struct decoded *d)
{
    const ZydisDecodedInstructionRaw *raw = &d->zydis.raw;
    for (unsigned i = 0; i < d->zydis.operand_count; i++) {
        ZydisDecodedOperand *op = &d->operand[i];
        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        if (op->mem.base == ZYDIS_REGISTER_R13D && d->zydis.attributes & ZYDIS_ATTRIB_HAS_SIB && raw->modrm.mod == 0 &&
            (raw->sib.base & 7) == 5) {
            op->mem.base = ZYDIS_REGISTER_NONE;
            op->mem.disp.has_displacement = true;
            op->mem.disp.value = raw->disp.value;
        }
        if (d->zydis.mnemonic == ZYDIS_MNEMONIC_MOVSXD && d->zydis.operand_width == 16)
            op->size = op->element_size = 16;
    }
}

static bool decode(struct translation *t, const ZydisDecoder *decoder, const u8 *bytes, unsigned available,
                   unsigned position)
{
    struct decoded *d = &t->insn[t->count];
    ZyanStatus status = ZydisDecoderDecodeFull(decoder, bytes, available, &d->zydis, d->operand);
    if (status == ZYDIS_STATUS_NO_MORE_DATA && t->count)
        return false; // its block starts with it
    d->bytes = bytes;
    d->position = (u16)position;
    d->through = false;
    if (ZYAN_SUCCESS(status)) {
        decode_correct(d);
        d->opcode = opcode_of(&d->zydis, d->operand);
    } else {
        d->zydis.length = 1;
        d->zydis.mnemonic = ZYDIS_MNEMONIC_INVALID;
        d->zydis.operand_count = 0;
        d->zydis.cpu_flags = NULL;
        d->zydis.meta.isa_ext = ZYDIS_ISA_EXT_INVALID;
        d->zydis.raw.prefix_count = status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG; // told apart when it is raised
        d->opcode = &raise_ud;
    }
    flags_of(d);
    t->count++;
    return true;
}

// A system instruction behind which the block goes on. Not in segmented code: its blocks are small and its day is
// short.
static bool stays(const struct translation *t, const struct decoded *d)
{
    bool loads_control = d->zydis.mnemonic == ZYDIS_MNEMONIC_MOV && d->operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                         ZydisRegisterGetClass(d->operand[0].reg.value) == ZYDIS_REGCLASS_CONTROL;
    if (loads_control)
        return false;
    return d->opcode->class == OPCODE_SYSTEM && d->opcode->flags & OPCODE_STAYS && t->mode & MODE_FLAT &&
           t->mode & (MODE_CODE64 | MODE_CODE32) && !(t->mode & MODE_STEP);
}

static bool ends_block(const struct translation *t, const struct decoded *d)
{
    switch (d->opcode->class) {
    case OPCODE_SYSTEM:
        return !stays(t, d);
    case OPCODE_INVALID:
        return true;
    case OPCODE_STACK:
        return !flow_inline(t, d);
    case OPCODE_FLOW:
        return !flow_inline(t, d) || d->zydis.meta.category != ZYDIS_CATEGORY_COND_BR ||
               d->zydis.mnemonic == ZYDIS_MNEMONIC_JRCXZ || d->zydis.mnemonic == ZYDIS_MNEMONIC_JECXZ;
    default:
        return state_fault(t, d) >= 0;
    }
}

static unsigned decode_block(struct translation *t, const u8 *bytes, unsigned available, bool crossing)
{
    ZydisDecoder decoder;
    decoder_init(&decoder, t->mode);
    unsigned limit = crossing || t->mode & MODE_STEP ? 1 : TRANSLATE_LENGTH, used = 0;
    unsigned first = (unsigned)(t->block->gpa & (PAGE_BYTES - 1));
    while (t->count < limit && used < available) {
        if (!decode(t, &decoder, bytes + used, available - used, first + used))
            break;
        struct decoded *d = &t->insn[t->count - 1];
        used += d->zydis.length;
        if (t->mode & MODE_LOOP && loop_closes(t, d)) {
            loop_unroll(t);
            break;
        }
        if (ends_block(t, d))
            break;
    }
    return used;
}

static u8 operand_kind_of(const ZydisDecodedOperand *op, u8 *reg)
{
    ZydisRegister value = op->reg.value;
    *reg = (u8)ZydisRegisterGetId(value);
    switch (ZydisRegisterGetClass(value)) {
    case ZYDIS_REGCLASS_GPR8:
        if (value >= ZYDIS_REGISTER_AH && value <= ZYDIS_REGISTER_BH) {
            *reg = (u8)(value - ZYDIS_REGISTER_AH);
            return OPERAND_HIGH_BYTE;
        }
        *reg = (u8)(value >= ZYDIS_REGISTER_SPL ? value - ZYDIS_REGISTER_SPL + 4 : value - ZYDIS_REGISTER_AL);
        return OPERAND_GPR;
    case ZYDIS_REGCLASS_GPR16: case ZYDIS_REGCLASS_GPR32: case ZYDIS_REGCLASS_GPR64: return OPERAND_GPR;
    case ZYDIS_REGCLASS_SEGMENT: return OPERAND_SEGMENT;
    case ZYDIS_REGCLASS_CONTROL: return OPERAND_CONTROL;
    case ZYDIS_REGCLASS_DEBUG: return OPERAND_DEBUG;
    case ZYDIS_REGCLASS_MMX: return OPERAND_MMX;
    case ZYDIS_REGCLASS_X87: return OPERAND_X87;
    case ZYDIS_REGCLASS_MASK: return OPERAND_MASK;
    default: return OPERAND_VECTOR;
    }
}

static u8 register_id(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? INSN_NO_REGISTER
           : reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP ? INSN_RIP : (u8)ZydisRegisterGetId(reg);
}

static void operand_convert(struct operand *out, const ZydisDecodedOperand *op)
{
    *out = (struct operand){ .size = (u8)(op->size / 8 > 255 ? 0 : op->size / 8) };
    switch (op->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        out->kind = operand_kind_of(op, &out->reg);
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        out->kind = OPERAND_MEMORY;
        out->segment = op->mem.segment == ZYDIS_REGISTER_NONE ? SEG_DS : (u8)ZydisRegisterGetId(op->mem.segment);
        out->base = register_id(op->mem.base);
        out->index = register_id(op->mem.index);
        out->scale = op->mem.scale ? op->mem.scale : 1;
        out->value = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        out->kind = OPERAND_FAR;
        out->selector = op->ptr.segment;
        out->value = op->ptr.offset;
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        out->kind = OPERAND_IMMEDIATE;
        out->value = op->imm.value.s;
        break;
    default:
        break;
    }
}

static void insn_convert(struct insn *insn, const struct translation *t, const struct decoded *d)
{
    const ZydisDecodedInstruction *z = &d->zydis;
    *insn = (struct insn){
        .opcode = d->opcode,
        .mnemonic = (u16)z->mnemonic,
        .length = z->length,
        .operand_size = (u8)(z->operand_width / 8),
        .address_size = (u8)(z->address_width / 8),
        .prefixes = (u8)((z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? INSN_REP : 0) |
                         (z->attributes & ZYDIS_ATTRIB_HAS_REPNE ? INSN_REPNE : 0) |
                         (z->attributes & ZYDIS_ATTRIB_HAS_LOCK ? INSN_LOCK : 0)),
        .vector_length = (u8)(z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ? 0 : z->avx.vector_length / 8),
        .mask = (u8)(z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && z->avx.mask.reg != ZYDIS_REGISTER_NONE
                         ? ZydisRegisterGetId(z->avx.mask.reg) : 0),
        .mask_zero = z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && z->avx.mask.mode == ZYDIS_MASK_MODE_ZEROING,
        .code64 = t->mode & MODE_CODE64,
        .vex = z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY,
    };
    for (unsigned i = 0; i < z->operand_count && insn->count < INSN_OPERANDS; i++) {
        const ZydisDecodedOperand *op = &d->operand[i];
        // PUSH and POP of a segment register have it in their opcode, which Zydis does not call explicit.
        bool wanted = op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT ||
                      (i == 0 && op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
                       ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT);
        if (wanted && z->mnemonic != ZYDIS_MNEMONIC_INVALID)
            operand_convert(&insn->operand[insn->count++], op);
    }
    memcpy(insn->bytes, d->bytes, z->length);
}

static void site_put(struct translation *t, unsigned position, bool flags_live, u8 in_host)
{
    if (t->site_count == TRANSLATE_SITES || t->e.full) {
        t->e.full = true;
        return;
    }
    t->site[t->site_count++] = (struct block_site){
        .host = (u32)(emit_address(&t->e) - t->block->host), .position = (u16)position, .flags_live = flags_live,
        .in_host = in_host,
    };
}

void site_add(struct translation *t, const struct decoded *d, bool flags_live)
{
    site_put(t, d->position, flags_live, t->dirty);
}

void site_add_branched(struct translation *t) { site_put(t, 0, false, SITE_BRANCHED); }

void flow_system(struct translation *t, struct decoded *d)
{
    struct code_cache *code = t->code;
    if (code->insn_count == CODE_INSNS) {
        t->e.full = true;
        return;
    }
    u32 id = code->insn_count++;
    insn_convert(&code->insn[id], t, d);
    if (stays(t, d))
        flow_call(t, d, id);
    else
        flow_leave(t, d, EXIT_SYSTEM, id);
}

// Whether a span's host address stays in R14 across the instruction, or what emits it says so itself.
static bool leaves_r14(const struct translation *t, const struct decoded *d)
{
    switch (d->opcode->class) {
    case OPCODE_COPY:
        return d->span || copy_leaves_r14(d);
    case OPCODE_STACK:
        return d->span && flow_inline(t, d);
    case OPCODE_FLOW:
        return flow_keeps_registers(d) && flow_inline(t, d);
    default:
        return false;
    }
}

static void emit_insn(struct translation *t, struct decoded *d)
{
    if (!leaves_r14(t, d))
        t->r14_slot = 0;
    t->keeps_r15 = copy_keeps_r15(t, d);
    if (t->keeps_r15) {
        if (t->cached & 1)
            copy_release(t, R14);
    } else if (!copy_is_register_form(d) && !(flow_keeps_registers(d) && flow_inline(t, d))) {
        copy_spill(t);
        if (d->opcode->class != OPCODE_FLOW)
            t->uncached = 3; // whatever it does with the host's R14 and R15
    }
    site_add(t, d, t->flags & FLAGS_LIVE);
    int fault = d->opcode->class == OPCODE_COPY ? state_fault(t, d) : -1;
    if (fault >= 0) {
        flow_leave(t, d, EXIT_RAISE, (u32)fault);
        return;
    }
    switch (d->opcode->class) {
    case OPCODE_COPY:
        if (!copy_emit(t, d))
            flow_leave(t, d, EXIT_RAISE, VECTOR_UD);
        break;
    case OPCODE_FLOW:
        flow_inline(t, d) ? flow_emit(t, d) : flow_system(t, d);
        break;
    case OPCODE_STACK:
        flow_inline(t, d) ? stack_emit(t, d) : flow_system(t, d);
        break;
    case OPCODE_SYSTEM:
        if (!repeat_emit(t, d))
            flow_system(t, d);
        break;
    default:
        flow_leave(t, d, EXIT_RAISE,
                   d->zydis.mnemonic == ZYDIS_MNEMONIC_INVALID && d->zydis.raw.prefix_count ? VECTOR_GP : VECTOR_UD);
        break;
    }
}

static void emit_entries(struct translation *t)
{
    struct block *block = t->block;
    t->flags = flags_at_entry(t);
    const u8 *first = emit_address(&t->e);
    if (t->flags == FLAGS_LIVE)
        emit_flags_restore(&t->e, R15);
    else if (t->flags == FLAGS_MEMORY)
        emit_flags_save(&t->e, R14);
    const u8 *body = emit_address(&t->e);
    block->entry_memory = t->flags == FLAGS_LIVE ? first : body;
    block->entry_live = t->flags == FLAGS_MEMORY ? first : body;
}

// What is rarely run, elsewhere.
static void emit_cold(struct translation *t)
{
    bool full = t->e.full;
    t->block->host_bytes = (u32)(emit_address(&t->e) - t->block->host);
    t->hot = t->e.at;
    t->e = t->code->cold;
    t->e.full |= full;
    t->block->cold = emit_address(&t->e);
    probe_slow_paths(t);
    repeat_slow_calls(t);
    flow_exits(t);
    t->block->cold_bytes = (u32)(emit_address(&t->e) - t->block->cold);
}

static void emit_block(struct translation *t)
{
    emit_entries(t);
    unsigned next = 0;
    for (unsigned i = 0; i < t->count && !t->ended; i++) {
        struct decoded *d = &t->insn[i];
        if (t->slow_count > TRANSLATE_SLOW - 3 || t->exit_count > TRANSLATE_EXITS - 4 ||
            t->site_count > TRANSLATE_SITES - TRANSLATE_EXITS - 6) break;
        // A poll between a comparison and its branch would keep the host from fusing them.
        bool poll = i + 1 < t->count && d->opcode->class == OPCODE_COPY &&
                    flow_is_backward_condition(&t->insn[i + 1]) && flow_inline(t, &t->insn[i + 1]) &&
                    !t->insn[i + 1].through;
        if (poll)
            flow_poll(t, d);
        emit_insn(t, d);
        t->cached &= (u8)~t->uncached;
        t->uncached = 0;
        t->polled = poll;
        next = d->through ? (unsigned)flow_target(d) : d->position + d->zydis.length;
        if (t->mode & MODE_STEP && !t->ended)
            flow_leave(t, d, EXIT_STEP, 0);
    }
    if (!t->ended) {
        copy_spill(t);
        flow_fallthrough(t, next);
    }
    emit_cold(t);
}

// Moves what the translation collected into the cache's arrays.
static bool block_finish(struct translation *t)
{
    struct code_cache *code = t->code;
    struct block *block = t->block;
    if (t->e.full || code->exit_count + t->exit_count > CODE_EXITS || code->site_count + t->site_count > CODE_SITES)
        return false;
    block->exit = &code->exit[code->exit_count];
    block->exit_count = (u16)t->exit_count;
    for (unsigned i = 0; i < t->exit_count; i++) {
        block->exit[i] = t->exit[i];
        block->exit[i].from = block;
    }
    code->exit_count += t->exit_count;
    block->site = &code->site[code->site_count];
    block->site_count = t->site_count;
    memcpy(block->site, t->site, t->site_count * sizeof *t->site);
    code->site_count += t->site_count;
    code->emit.at = t->hot;
    code->cold.at = t->e.at;
    code->block_count++;
    return true;
}

struct block *translate_block(struct code_cache *code, mode_word mode, u64 linear, u64 gpa, u64 gpa2, const u8 *bytes,
                              unsigned available, bool crossing)
{
    if (code->block_count == CODE_BLOCKS)
        return NULL;
    struct block *block = &code->block[code->block_count];
    *block = (struct block){ .gpa = gpa, .gpa2 = gpa2, .mode = mode,
                             .host = (u8 *)(uintptr_t)emit_address(&code->emit) };
    struct translation *t = code->translation;
    t->e = code->emit;
    t->code = code;
    t->block = block;
    t->mode = mode;
    t->page = linear & -(u64)PAGE_BYTES;
    t->count = t->slow_count = t->call_count = t->exit_count = t->site_count = 0;
    t->ended = t->polled = false;
    t->cached = t->dirty = t->uncached = t->r14_slot = 0;
    t->displacement = 0;
    block->bytes = (u16)decode_block(t, bytes, available, crossing);
    flags_liveness(t);
    span_plan(t);
    emit_block(t);
    return block_finish(t) ? block : NULL;
}

bool translate_crosses(mode_word mode, const u8 *bytes, unsigned available)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    decoder_init(&decoder, mode);
    return ZydisDecoderDecodeInstruction(&decoder, ZYAN_NULL, bytes, available, &insn) == ZYDIS_STATUS_NO_MORE_DATA;
}

size_t translate_bytes(void) { return sizeof(struct translation); }
