// The switch: who may send, who receives what, what is learnt and what is forgotten, and that a hostile port harms
// nobody but itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/switch.h"

enum { FRAME = 64, SEGMENT = 60000, LARGEST = FRAME_HEADER + 65536, SECOND = 1000000000 };

struct end {
    int port;
    unsigned got, told;
    bool full;
    u8 last[LARGEST + FRAME_TAG];
    struct network_header header;
    size_t bytes;
};

struct lab {
    struct switch_device *device;
    struct end ends[4];
    u64 now;
};

static bool end_send(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct end *end = context;
    if (end->full)
        return false;
    end->got++;
    end->header = *header;
    end->bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_true(end->bytes + parts[i].iov_len <= sizeof end->last);
        memcpy(end->last + end->bytes, parts[i].iov_base, parts[i].iov_len);
        end->bytes += parts[i].iov_len;
    }
    return true;
}

static void end_spoofed(void *context, const u8 *mac)
{
    (void)mac;
    ((struct end *)context)->told++;
}

static const u8 *mac(unsigned number)
{
    static u8 addresses[256][FRAME_MAC];
    memcpy(addresses[number], (const u8[]){0x00, 0x15, 0x5d, 0, 0, (u8)number}, FRAME_MAC);
    return addresses[number];
}

static struct switch_rules rules_of(unsigned number)
{
    struct switch_rules rules = {.vlan_mode = SWITCH_UNTAGGED};
    memcpy(rules.mac, mac(number), FRAME_MAC);
    return rules;
}

static void lab_open(struct lab *lab)
{
    *lab = (struct lab){.device = switch_create(), .now = SECOND};
    for (unsigned i = 0; i < ARRAY_SIZE(lab->ends); i++) {
        const struct switch_rules rules = rules_of(i);
        const struct switch_output output = {&lab->ends[i], end_send, end_spoofed};
        lab->ends[i].port = switch_add(lab->device, &rules, &output);
        assert_true(lab->ends[i].port >= 0);
    }
}

static void lab_close(struct lab *lab)
{
    switch_destroy(lab->device);
}

static const struct network_header plain;

static void receive(struct lab *lab, int port, u8 *frame, size_t bytes)
{
    const struct iovec part = {frame, bytes};
    switch_receive(lab->device, port, &plain, &part, 1, lab->now);
}

static void frame_write(u8 *frame, const u8 *to, const u8 *from)
{
    memset(frame, 0, FRAME);
    memcpy(frame, to, FRAME_MAC);
    memcpy(frame + FRAME_MAC, from, FRAME_MAC);
    frame[12] = 0x88, frame[13] = 0xb5; // a type for experiments
}

static void send(struct lab *lab, unsigned from, const u8 *to, const u8 *as)
{
    u8 frame[FRAME];
    frame_write(frame, to, as);
    receive(lab, lab->ends[from].port, frame, sizeof frame);
}

static void set(struct lab *lab, unsigned end, const struct switch_rules *rules)
{
    switch_set_rules(lab->device, lab->ends[end].port, rules);
}

static u64 dropped(const struct lab *lab, unsigned end, enum switch_drop why)
{
    return switch_port_counters(lab->device, lab->ends[end].port)->dropped[why];
}

static const u8 broadcast[FRAME_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void frames_go_where_they_are_meant_for(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    send(&lab, 0, mac(1), mac(0));
    assert_int_equal(lab.ends[1].got, 1);
    assert_int_equal(lab.ends[2].got, 0);
    send(&lab, 0, broadcast, mac(0));
    assert_int_equal(lab.ends[0].got, 0);
    assert_int_equal(lab.ends[1].got, 2);
    assert_int_equal(lab.ends[2].got, 1);
    send(&lab, 0, mac(99), mac(0)); // nobody's: without spoofing nobody gets it
    assert_int_equal(lab.ends[1].got + lab.ends[2].got + lab.ends[3].got, 4);
    lab_close(&lab);
}

static void spoofing_off_drops_and_says_so_once(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    send(&lab, 0, mac(1), mac(50));
    send(&lab, 0, mac(1), mac(51));
    assert_int_equal(lab.ends[1].got, 0);
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_SPOOFED), 2);
    assert_int_equal(lab.ends[0].told, 1);
    assert_memory_equal(switch_port_counters(lab.device, lab.ends[0].port)->last_spoofed, mac(51), FRAME_MAC);
    send(&lab, 0, mac(1), mac(0)); // its own frames still pass
    assert_int_equal(lab.ends[1].got, 1);
    lab_close(&lab);
}

static void spoofing_on_learns_and_off_again_forgets(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules rules = rules_of(0);
    rules.spoofing = true;
    set(&lab, 0, &rules);
    send(&lab, 0, mac(1), mac(50));
    assert_int_equal(lab.ends[1].got, 1);
    send(&lab, 1, mac(50), mac(1)); // the answer to the nested VM finds its way
    assert_int_equal(lab.ends[0].got, 1);
    assert_int_equal(lab.ends[2].got, 0);
    send(&lab, 1, mac(77), mac(1)); // unknown: it may be behind the port
    assert_int_equal(lab.ends[0].got, 2);
    rules.spoofing = false;
    set(&lab, 0, &rules);
    send(&lab, 1, mac(50), mac(1));
    assert_int_equal(lab.ends[0].got, 2);
    lab_close(&lab);
}

static void addresses_age(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules rules = rules_of(0);
    rules.spoofing = true;
    set(&lab, 0, &rules);
    send(&lab, 0, mac(1), mac(50));
    assert_int_equal(switch_find(lab.device, 0, mac(50), lab.now), lab.ends[0].port);
    lab.now += (u64)(SWITCH_AGE_SECONDS + 1) * SECOND;
    assert_int_equal(switch_find(lab.device, 0, mac(50), lab.now), -1);
    lab_close(&lab);
}

static void a_hostile_port_fills_only_its_share(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules rules = rules_of(0);
    rules.spoofing = true;
    set(&lab, 0, &rules);
    send(&lab, 1, broadcast, mac(1));
    for (unsigned i = 0; i < 100000; i++) {
        const u8 address[FRAME_MAC] = {0x02, 0, 0, (u8)(i >> 16), (u8)(i >> 8), (u8)i};
        send(&lab, 0, mac(2), address);
    }
    assert_true(switch_addresses(lab.device) <= SWITCH_PORT_ADDRESSES + 1);
    assert_int_equal(switch_find(lab.device, 0, mac(1), lab.now), lab.ends[1].port);
    lab_close(&lab);
}

static void a_flapping_address_is_held(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    for (unsigned i = 0; i < 2; i++) {
        struct switch_rules rules = rules_of(i);
        rules.spoofing = true;
        set(&lab, i, &rules);
    }
    for (unsigned i = 0; i < 100; i++)
        send(&lab, i & 1, mac(3), mac(60));
    const int held = switch_find(lab.device, 0, mac(60), lab.now);
    send(&lab, held == lab.ends[0].port ? 1 : 0, mac(3), mac(60));
    assert_int_equal(switch_find(lab.device, 0, mac(60), lab.now), held);
    lab_close(&lab);
}

static void vlans_keep_apart(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules access = rules_of(0), trunk = rules_of(1);
    access.vlan_mode = SWITCH_ACCESS, access.vlan = 121;
    trunk.vlan_mode = SWITCH_TRUNK, trunk.trunk[121 / 64] |= 1ull << (121 % 64);
    set(&lab, 0, &access);
    set(&lab, 1, &trunk);
    send(&lab, 0, broadcast, mac(0));
    assert_int_equal(lab.ends[2].got, 0); // untagged ports are another network
    assert_int_equal(lab.ends[1].got, 1);
    assert_int_equal(lab.ends[1].bytes, FRAME + FRAME_TAG);
    assert_memory_equal(lab.ends[1].last + 12, ((u8[]){0x81, 0x00, 0x00, 121, 0x88, 0xb5}), 6);
    u8 frame[FRAME + FRAME_TAG];
    memcpy(frame, lab.ends[1].last, sizeof frame);
    memcpy(frame, mac(0), FRAME_MAC);
    memcpy(frame + FRAME_MAC, mac(1), FRAME_MAC);
    receive(&lab, lab.ends[1].port, frame, sizeof frame);
    assert_int_equal(lab.ends[0].got, 1);
    assert_int_equal(lab.ends[0].bytes, FRAME); // without its tag
    frame[15] = 122;
    receive(&lab, lab.ends[1].port, frame, sizeof frame);
    assert_int_equal(dropped(&lab, 1, SWITCH_DROP_VLAN), 1);
    frame[15] = 121;
    receive(&lab, lab.ends[0].port, frame, sizeof frame); // a tag on an access port
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_VLAN) + dropped(&lab, 0, SWITCH_DROP_SPOOFED), 1);
    lab_close(&lab);
}

// A segment longer than what the switch looks at, in parts, whose sender left things undone: the places that its header
// names move with the tag, and not a byte is lost.
static void segments_pass_as_they_are(void **state)
{
    (void)state;
    static u8 bytes[SEGMENT];
    struct lab lab;
    lab_open(&lab);
    struct switch_rules access = rules_of(0), trunk = rules_of(1);
    access.vlan_mode = SWITCH_ACCESS, access.vlan = 121;
    trunk.vlan_mode = SWITCH_TRUNK, trunk.trunk[121 / 64] |= 1ull << (121 % 64);
    set(&lab, 0, &access);
    set(&lab, 1, &trunk);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (u8)(i * 7);
    memcpy(bytes, mac(1), FRAME_MAC);
    memcpy(bytes + FRAME_MAC, mac(0), FRAME_MAC);
    memcpy(bytes + 12, (u8[]){0x08, 0x00}, 2);
    const struct network_header header = {.flags = NETWORK_NEEDS_CHECKSUM, .gso_type = NETWORK_GSO_TCP4,
                                          .header_bytes = 54, .gso_bytes = 1448, .checksum_start = 34,
                                          .checksum_offset = 16};
    const struct iovec parts[] = {{bytes, 13}, {bytes + 13, 3000}, {bytes + 3013, SEGMENT - 3013}};
    switch_receive(lab.device, lab.ends[0].port, &header, parts, 3, lab.now);
    assert_int_equal(lab.ends[1].bytes, SEGMENT + FRAME_TAG);
    assert_memory_equal(lab.ends[1].last, bytes, 12);
    assert_memory_equal(lab.ends[1].last + 16, bytes + 12, SEGMENT - 12);
    assert_int_equal(lab.ends[1].header.checksum_start, 38);
    assert_int_equal(lab.ends[1].header.header_bytes, 58);
    assert_int_equal(lab.ends[1].header.gso_bytes, 1448);
    memcpy(bytes, lab.ends[1].last, 16);
    memcpy(bytes, mac(0), FRAME_MAC);
    memcpy(bytes + FRAME_MAC, mac(1), FRAME_MAC);
    const struct iovec back = {bytes, SEGMENT};
    switch_receive(lab.device, lab.ends[1].port, &lab.ends[1].header, &back, 1, lab.now);
    assert_int_equal(lab.ends[0].bytes, SEGMENT - FRAME_TAG);
    assert_memory_equal(lab.ends[0].last + 12, bytes + 16, SEGMENT - 16);
    assert_int_equal(lab.ends[0].header.checksum_start, 34);
    assert_int_equal(lab.ends[0].header.header_bytes, 54);
    lab_close(&lab);
}

// Segments of 64 KiB: with a tag, and where a port's rules add one. No longer frame is one.
static void the_largest_segments_have_room_for_a_tag(void **state)
{
    (void)state;
    static u8 bytes[LARGEST + FRAME_TAG + 1];
    struct lab lab;
    lab_open(&lab);
    struct switch_rules access = rules_of(0), trunk = rules_of(1);
    access.vlan_mode = SWITCH_ACCESS, access.vlan = 121;
    trunk.vlan_mode = SWITCH_TRUNK, trunk.trunk[121 / 64] |= 1ull << (121 % 64);
    set(&lab, 0, &access);
    set(&lab, 1, &trunk);
    frame_write(bytes, mac(1), mac(0));
    receive(&lab, lab.ends[0].port, bytes, LARGEST);
    assert_int_equal(lab.ends[1].bytes, LARGEST + FRAME_TAG);
    receive(&lab, lab.ends[0].port, bytes, LARGEST + 1);
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_MALFORMED), 1);
    frame_write(bytes, mac(0), mac(1));
    memcpy(bytes + 12, (u8[]){0x81, 0x00, 0x00, 121, 0x88, 0xb5}, 6);
    receive(&lab, lab.ends[1].port, bytes, LARGEST + FRAME_TAG);
    assert_int_equal(lab.ends[0].bytes, LARGEST);
    receive(&lab, lab.ends[1].port, bytes, LARGEST + FRAME_TAG + 1);
    assert_int_equal(dropped(&lab, 1, SWITCH_DROP_MALFORMED), 1);
    lab_close(&lab);
}

// Tags in tags: what is behind the first is content, and no port's rules take off a tag that hides another.
static void stacks_of_tags_lead_nowhere(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules plain_rules = rules_of(0), trunk = rules_of(1), outside = {.uplink = true};
    plain_rules.priority_tags = true;
    trunk.vlan_mode = SWITCH_TRUNK, trunk.trunk[0] = 1u << 5, trunk.priority_tags = true;
    set(&lab, 0, &plain_rules);
    set(&lab, 1, &trunk);
    set(&lab, 3, &outside);
    u8 frame[FRAME];
    for (unsigned end = 0; end < 2; end++) {
        frame_write(frame, broadcast, mac(end));
        memcpy(frame + 12, (u8[]){0x81, 0x00, 0x60, 0, 0x81, 0x00, 0, 121, 0x08, 0x00}, 10);
        receive(&lab, lab.ends[end].port, frame, sizeof frame); // priority only, and VLAN 121 behind it
        frame[12] = 0x88, frame[13] = 0xa8;
        receive(&lab, lab.ends[end].port, frame, sizeof frame);
        assert_int_equal(dropped(&lab, end, SWITCH_DROP_VLAN), 2);
        assert_int_equal(lab.ends[3].got, 0);
    }
    memcpy(frame + 12, (u8[]){0x81, 0x00, 0x60, 5}, 4); // a VLAN that it may send in: with its tag it leaves
    receive(&lab, lab.ends[1].port, frame, sizeof frame);
    assert_int_equal(lab.ends[3].got, 1);
    assert_memory_equal(lab.ends[3].last, frame, sizeof frame);
    for (unsigned i = 12; i < sizeof frame; i += 4) // nothing but tags
        memcpy(frame + i, (u8[]){0x88, 0xa8, 0, 0}, 4);
    receive(&lab, lab.ends[1].port, frame, sizeof frame);
    frame_write(frame, broadcast, mac(0));
    memcpy(frame + 12, (u8[]){0x81, 0x00, 0x60, 0, 0x88, 0xb5}, 6);
    receive(&lab, lab.ends[0].port, frame, sizeof frame); // one priority tag alone passes
    assert_int_equal(lab.ends[3].got, 2);
    lab_close(&lab);
}

// An end that answers at once, as NAT and DHCP do.
struct answering {
    struct lab *lab;
    int port;
    unsigned got;
};

static bool answering_send(void *context, const struct network_header *header, const struct iovec *parts,
                           unsigned count)
{
    struct answering *self = context;
    u8 frame[FRAME];
    (void)header, (void)parts, (void)count;
    self->got++;
    frame_write(frame, mac(0), mac(200));
    const struct iovec answer = {frame, sizeof frame};
    switch_receive(self->lab->device, self->port, &plain, &answer, 1, self->lab->now + 1000); // its clock went on
    return true;
}

static void an_answer_at_once_leaves_the_question_whole(void **state)
{
    (void)state;
    static u8 question[SEGMENT];
    struct lab lab;
    lab_open(&lab);
    struct answering self = {.lab = &lab};
    const struct switch_rules rules = {.uplink = true};
    const struct switch_output output = {&self, answering_send, NULL};
    switch_remove(lab.device, lab.ends[1].port); // before the others in the flood
    self.port = switch_add(lab.device, &rules, &output);
    for (unsigned i = 0; i < sizeof question; i++)
        question[i] = (u8)(i * 5);
    memcpy(question, broadcast, FRAME_MAC);
    memcpy(question + FRAME_MAC, mac(0), FRAME_MAC);
    receive(&lab, lab.ends[0].port, question, sizeof question);
    assert_int_equal(self.got, 1);
    assert_int_equal(lab.ends[0].got, 1);
    for (unsigned i = 2; i < 4; i++) {
        assert_int_equal(lab.ends[i].got, 1);
        assert_int_equal(lab.ends[i].bytes, sizeof question);
        assert_memory_equal(lab.ends[i].last, question, sizeof question);
    }
    // And is known from then on, to those whose frame was in hand already.
    struct switch_rules curious = rules_of(3);
    curious.spoofing = true;
    set(&lab, 3, &curious);
    send(&lab, 0, mac(200), mac(0));
    assert_int_equal(self.got, 2);
    assert_int_equal(lab.ends[3].got, 1);
    lab_close(&lab);
}

static void write_udp(u8 *frame, u16 from_port)
{
    frame[12] = 0x08, frame[13] = 0x00;
    frame[14] = 0x45;
    frame[23] = 17;
    memcpy(frame + 26, (const u8[]){192, 0, 2, 1, 192, 0, 2, 9}, 8);
    frame[34] = (u8)(from_port >> 8), frame[35] = (u8)from_port;
}

static void guards_drop_servers(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules rules = rules_of(0);
    rules.dhcp_guard = rules.router_guard = true;
    set(&lab, 0, &rules);
    u8 frame[FRAME];
    frame_write(frame, mac(1), mac(0));
    write_udp(frame, 68);
    receive(&lab, lab.ends[0].port, frame, sizeof frame);
    assert_int_equal(lab.ends[1].got, 1); // a client
    write_udp(frame, 67);
    receive(&lab, lab.ends[0].port, frame, sizeof frame);
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_DHCP_GUARD), 1);
    frame_write(frame, (const u8[]){0x33, 0x33, 0, 0, 0, 1}, mac(0));
    frame[12] = 0x86, frame[13] = 0xdd, frame[14] = 0x60, frame[20] = 0; // hop-by-hop, then ICMPv6
    frame[54] = 58, frame[55] = 0, frame[62] = 134;
    receive(&lab, lab.ends[0].port, frame, sizeof frame);
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_ROUTER_GUARD), 1);
    assert_int_equal(lab.ends[1].got, 1);
    lab_close(&lab);
}

static void the_most_specific_rule_decides(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules rules = rules_of(0);
    rules.acl_count = 2;
    rules.acls[0] =
        (struct switch_acl){SWITCH_DENY, SWITCH_BOTH, {SWITCH_ANY, {0}, 0}, {SWITCH_IPV4, {192, 0, 2}, 24}, 0};
    rules.acls[1] =
        (struct switch_acl){SWITCH_ALLOW, SWITCH_OUTBOUND, {SWITCH_ANY, {0}, 0}, {SWITCH_IPV4, {192, 0, 2, 9}, 32}, 0};
    set(&lab, 0, &rules);
    u8 frame[FRAME];
    frame_write(frame, mac(1), mac(0));
    write_udp(frame, 68);
    receive(&lab, lab.ends[0].port, frame, sizeof frame);
    assert_int_equal(lab.ends[1].got, 1);
    frame[33] = 10;
    receive(&lab, lab.ends[0].port, frame, sizeof frame);
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_ACL), 1);
    lab_close(&lab);
}

static void storms_and_bandwidth_have_limits(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules rules = rules_of(0);
    rules.storm_limit = 10;
    set(&lab, 0, &rules);
    for (unsigned i = 0; i < 100; i++)
        send(&lab, 0, broadcast, mac(0));
    assert_true(lab.ends[1].got >= 10 && lab.ends[1].got <= 11);
    lab.now += SECOND;
    send(&lab, 0, broadcast, mac(0));
    assert_true(lab.ends[1].got >= 11);
    rules.storm_limit = 0, rules.bits_per_second = 8 * FRAME * 10;
    set(&lab, 1, &rules);
    memcpy(rules.mac, mac(1), FRAME_MAC);
    set(&lab, 1, &rules);
    for (unsigned i = 0; i < 100; i++)
        send(&lab, 1, mac(2), mac(1));
    assert_true(dropped(&lab, 1, SWITCH_DROP_BANDWIDTH) >= 88);
    lab_close(&lab);
}

static void mirrors_see_both_ways(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    struct switch_rules source = rules_of(0), monitor = rules_of(3);
    source.mirror = SWITCH_MIRROR_SOURCE, monitor.mirror = SWITCH_MIRROR_DESTINATION;
    set(&lab, 0, &source);
    set(&lab, 3, &monitor);
    send(&lab, 0, mac(1), mac(0));
    send(&lab, 1, mac(0), mac(1));
    assert_int_equal(lab.ends[3].got, 2);
    assert_int_equal(lab.ends[2].got, 0);
    lab_close(&lab);
}

static void malformed_frames_are_counted(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    u8 frame[FRAME] = {0};
    receive(&lab, lab.ends[0].port, frame, 13);
    receive(&lab, lab.ends[0].port, frame, 0);
    frame[6] = 1; // from a group
    receive(&lab, lab.ends[0].port, frame, sizeof frame);
    frame_write(frame, broadcast, mac(0));
    frame[12] = 0x81, frame[13] = 0;
    receive(&lab, lab.ends[0].port, frame, 16); // a tag that is cut
    assert_int_equal(dropped(&lab, 0, SWITCH_DROP_MALFORMED), 4);
    lab.ends[1].full = true;
    send(&lab, 0, mac(1), mac(0));
    assert_int_equal(dropped(&lab, 1, SWITCH_DROP_FULL), 1);
    lab_close(&lab);
}

static void ports_come_and_go(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    send(&lab, 0, broadcast, mac(0));
    switch_remove(lab.device, lab.ends[0].port);
    assert_int_equal(switch_find(lab.device, 0, mac(0), lab.now), -1);
    send(&lab, 1, mac(0), mac(1));
    assert_int_equal(lab.ends[0].got, 0);
    const struct switch_rules rules = rules_of(9);
    const struct switch_output output = {&lab.ends[0], end_send, NULL};
    for (unsigned i = 0; i < SWITCH_PORTS - 3; i++)
        assert_true(switch_add(lab.device, &rules, &output) >= 0);
    assert_int_equal(switch_add(lab.device, &rules, &output), -1);
    lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_where_they_are_meant_for),
        cmocka_unit_test(spoofing_off_drops_and_says_so_once),
        cmocka_unit_test(spoofing_on_learns_and_off_again_forgets),
        cmocka_unit_test(addresses_age),
        cmocka_unit_test(a_hostile_port_fills_only_its_share),
        cmocka_unit_test(a_flapping_address_is_held),
        cmocka_unit_test(vlans_keep_apart),
        cmocka_unit_test(segments_pass_as_they_are),
        cmocka_unit_test(the_largest_segments_have_room_for_a_tag),
        cmocka_unit_test(stacks_of_tags_lead_nowhere),
        cmocka_unit_test(an_answer_at_once_leaves_the_question_whole),
        cmocka_unit_test(guards_drop_servers),
        cmocka_unit_test(the_most_specific_rule_decides),
        cmocka_unit_test(storms_and_bandwidth_have_limits),
        cmocka_unit_test(mirrors_see_both_ways),
        cmocka_unit_test(malformed_frames_are_counted),
        cmocka_unit_test(ports_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
