// Guest bytes as the translator gets them: whatever is at RIP, in every mode. What must hold besides the sanitizers: a
// block never covers more than it was given, and all that was emitted decodes again as instructions of the host.
//
// The input: three bytes of mode, two of where in its page the code begins, then the code.
#include <Zydis/Zydis.h>
#include <assert.h>
#include <stdlib.h>

#include "engine/soft/block.h"
#include "engine/soft/translate.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

enum { HEADER = 5, CACHE_BLOCKS = 2000, PAGE = 0x1000, MODE_BITS = 24 };

static struct engine_vm vm;

static void check_code(const u8 *host, u32 bytes)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (u32 at = 0; at < bytes; at += insn.length)
        assert(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, host + at, bytes - at, &insn)));
}

// Without guest registers in it, a host block of any mode is long-mode code; jumps have not been linked yet.
static void check_host_code(const struct block *block)
{
    check_code(block->host, block->host_bytes);
    check_code(block->cold, block->cold_bytes);
    for (u32 i = 0; i < block->site_count; i++) {
        const u8 *host = block->host + block->site[i].host;
        assert(block_contains(block, host) || host == block->host + block->host_bytes ||
               host == block->cold + block->cold_bytes);
        assert(!i || block->site[i - 1].host <= block->site[i].host);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
    if (bytes <= HEADER)
        return 0;
    if (!vm.code || vm.code->block_count > CACHE_BLOCKS) {
        code_destroy(&vm);
        vm.code = NULL;
        if (code_create(&vm) != 0)
            abort();
    }
    mode_word mode = (data[0] | data[1] << 8 | data[2] << 16) & ((1u << MODE_BITS) - 1);
    unsigned offset = (data[3] | data[4] << 8) & (PAGE_BYTES - 1), available = (unsigned)(bytes - HEADER);
    bool crossing = offset + available > PAGE_BYTES && translate_crosses(mode, data + HEADER, PAGE_BYTES - offset);
    if (!crossing && offset + available > PAGE_BYTES)
        available = PAGE_BYTES - offset;
    u64 second = crossing ? 2 * PAGE : ~0ull;
    const struct block *block = translate_block(vm.code, mode, PAGE + offset, PAGE + offset, second, data + HEADER,
                                                available, crossing);
    if (!block)
        return 0;
    assert(block->bytes <= available || block->bytes <= 1);
    check_host_code(block);
    return 0;
}
