// Tables of saved state: what is written is read back, and nothing else is taken.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/state.h"

struct inner {
    u8 kind;
    u32 gap;
    u64 wide;
};

struct part {
    void *host; // never in a state
    u16 plain;
    bool flag;
    u8 bounded;
    u8 bytes[5];
    struct inner inner[3];
    u32 later;
    unsigned saves, loads;
};

static void part_saving(void *object) { ((struct part *)object)->saves++; }

static int part_loaded(void *object, struct error *error)
{
    struct part *part = object;
    part->loads++;
    return part->plain == 666 ? error_set(error, "666 cannot be") : 0;
}

static const struct state_field inner_fields[] = {
    STATE_RANGE(struct inner, kind, 2, 4),
    STATE_FIELD(struct inner, wide),
};

static const struct state_field part_fields[] = {
    STATE_FIELD(struct part, plain),
    STATE_BOOL(struct part, flag),
    STATE_RANGE(struct part, bounded, 1, 9),
    STATE_ARRAY(struct part, bytes),
    STATE_STRUCTS(struct part, inner, inner_fields),
    {.name = "later", .offset = offsetof(struct part, later), .size = 4, .count = 1, .since = 2},
};

static const struct state_section part_state =
    STATE_SECTION("part", 2, part_fields, .pre_save = part_saving, .post_load = part_loaded);

enum { OLD = 2 + 1 + 1 + 5 + 3 * 9, NEW = OLD + 4 };

static struct part sample(void)
{
    return (struct part){.plain = 0x1234, .flag = true, .bounded = 9, .bytes = {1, 2, 3, 4, 5}, .later = 77,
                         .inner = {{2, 10, 100}, {3, 11, 1ull << 60}, {4, 12, 102}}};
}

static void test_round_trip(void **state)
{
    (void)state;
    struct part from = sample(), to = {.host = &from, .inner[1].gap = 99};
    u8 wire[NEW];
    assert_int_equal(state_bytes(&part_state, 1), OLD);
    assert_int_equal(state_bytes(&part_state, 2), NEW);
    state_save(&part_state, &from, wire);
    assert_int_equal(from.saves, 1);
    assert_int_equal(wire[0] | wire[1] << 8, 0x1234); // little-endian, in the table's order
    assert_memory_equal(wire + 4, from.bytes, 5);
    assert_int_equal(state_load(&part_state, 2, &to, wire, NEW, NULL), 0);
    assert_int_equal(to.loads, 1);
    assert_int_equal(to.plain, 0x1234);
    assert_true(to.flag);
    assert_int_equal(to.bounded, 9);
    assert_memory_equal(to.bytes, from.bytes, 5);
    assert_int_equal(to.inner[1].wide, 1ull << 60);
    assert_int_equal(to.inner[2].kind, 4);
    assert_int_equal(to.later, 77);
    assert_ptr_equal(to.host, &from);
    assert_int_equal(to.inner[1].gap, 99);
}

static void test_older_version(void **state)
{
    (void)state;
    struct part from = sample(), to = {.later = 5};
    u8 wire[NEW];
    state_save(&part_state, &from, wire);
    assert_int_equal(state_load(&part_state, 1, &to, wire, OLD, NULL), 0);
    assert_int_equal(to.inner[2].wide, 102);
    assert_int_equal(to.later, 5); // as it was created
}

static void refused(const u8 *wire, u32 version, size_t bytes, const char *words)
{
    struct part to = {0};
    struct error error;
    assert_int_equal(state_load(&part_state, version, &to, wire, bytes, &error), -1);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

static void test_refusals(void **state)
{
    (void)state;
    struct part from = sample();
    u8 wire[NEW], bad[NEW];
    state_save(&part_state, &from, wire);
    refused(wire, 0, NEW, "version 0");
    refused(wire, 3, NEW, "version 3");
    refused(wire, 2, NEW - 1, "bytes");
    refused(wire, 1, NEW, "bytes");
    memcpy(bad, wire, NEW);
    bad[2] = 2;
    refused(bad, 2, NEW, "flag is 2");
    memcpy(bad, wire, NEW);
    bad[3] = 0;
    refused(bad, 2, NEW, "bounded is 0");
    bad[3] = 10;
    refused(bad, 2, NEW, "bounded is 10");
    memcpy(bad, wire, NEW);
    bad[9 + 9] = 5; // the second inner one's kind
    refused(bad, 2, NEW, "kind is 5");
    from.plain = 666;
    state_save(&part_state, &from, wire);
    refused(wire, 2, NEW, "the state of part: 666 cannot be");
}

static void test_crc(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283); // RFC 3720's polynomial, the usual check value
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_older_version),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
