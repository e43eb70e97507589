// CPUID of the board's processors, from a table as an engine might give it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "machine/cpuid.h"

static struct kvm_cpuid2 *table_make(void)
{
    static const struct kvm_cpuid_entry2 entries[] = {
        {.function = 0, .eax = 0x1f},
        {.function = 1, .ebx = 0x55aa0800, .ecx = 0x00000021, .edx = 0x0fabfbff},
        {.function = 4, .index = 0, .flags = 1, .eax = 0xfc004121},
        {.function = 4, .index = 3, .flags = 1, .eax = 0x00004163},
        {.function = 4, .index = 4, .flags = 1},
        {.function = 0xb, .index = 0, .flags = 1, .edx = 99},
        {.function = 0x1f, .index = 0, .flags = 1, .ebx = 1},
        {.function = 0x80000001, .ecx = 0x4},
        {.function = 0x80000008, .eax = 0x302e, .ecx = 0x7007},
        {.function = 0x8000000a, .eax = 1},
        {.function = 0x40000000, .ebx = 0x1234},
    };
    struct kvm_cpuid2 *table = calloc(1, sizeof *table + CPUID_ENTRIES * sizeof table->entries[0]);
    table->nent = ARRAY_SIZE(entries);
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        table->entries[i] = entries[i];
    return table;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *table, u32 function, u32 index)
{
    for (u32 i = 0; i < table->nent; i++)
        if (table->entries[i].function == function && table->entries[i].index == index)
            return &table->entries[i];
    return NULL;
}

static void six_cores(void **state)
{
    (void)state;
    struct kvm_cpuid2 *table = table_make();
    cpuid_adjust(table, &(struct cpuid_config){.cpus = 6, .nested = true}, 5);
    const struct kvm_cpuid_entry2 *features = find(table, 1, 0);
    assert_int_equal(features->ebx, 0x05080800); // id 5, 8 ids, CLFLUSH as it was
    assert_int_equal(features->ecx, 0x80000021); // hypervisor present, VMX kept
    assert_int_equal(features->edx, 0x1fabfbff); // several logical processors
    assert_int_equal(find(table, 4, 0)->eax, 0x1c000121); // 8 ids in the package, this cache for one
    assert_int_equal(find(table, 4, 3)->eax, 0x1c01c163); // this one for all
    assert_int_equal(find(table, 4, 4)->eax, 0);
    assert_int_equal(find(table, 0xb, 0)->ecx, 0x100);
    assert_int_equal(find(table, 0xb, 0)->edx, 5);
    assert_int_equal(find(table, 0xb, 1)->eax, 3);
    assert_int_equal(find(table, 0xb, 1)->ebx, 6);
    assert_int_equal(find(table, 0xb, 1)->ecx, 0x201);
    assert_int_equal(find(table, 0xb, 2)->ebx, 0);
    assert_null(find(table, 0x1f, 0));
    assert_int_equal(find(table, 0x80000008, 0)->ecx, 0x3005);
    assert_int_equal(find(table, 0x80000001, 0)->ecx, 4);
    assert_int_equal(find(table, 0x40000000, 0)->ebx, 0x1234);
    free(table);
}

static void one_core_without_nesting(void **state)
{
    (void)state;
    struct kvm_cpuid2 *table = table_make();
    cpuid_adjust(table, &(struct cpuid_config){.cpus = 1, .nested = false}, 0);
    assert_int_equal(find(table, 1, 0)->ebx, 0x00010800);
    assert_int_equal(find(table, 1, 0)->ecx, 0x80000001);
    assert_int_equal(find(table, 1, 0)->edx, 0x0fabfbff);
    assert_int_equal(find(table, 4, 3)->eax, 0x00000163);
    assert_int_equal(find(table, 0xb, 1)->eax, 0);
    assert_int_equal(find(table, 0x80000001, 0)->ecx, 0);
    assert_int_equal(find(table, 0x8000000a, 0)->eax, 0);
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(six_cores), cmocka_unit_test(one_core_without_nesting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
