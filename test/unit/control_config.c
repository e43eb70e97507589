// Configuration and status: what is written is what is read, and what is wrong is refused with words that name it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"

static const char least[] = "{\"id\":\"1\",\"name\":\"lab\",\"directory\":\"/run/lab\",\"cpus\":1,"
                            "\"memory_startup\":1048576,\"engine\":\"auto\",\"vendor\":\"host\","
                            "\"kernel\":\"/boot/vmlinuz\"";

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct control_config config = {
        .id = "c7d5", .name = "lab \"1\"", .directory = "/run/nidus/vm/c7d5", .console_log = "/var/log/lab",
        .state_directory = "/var/lib/lab",
        .cpus = 4, .memory_startup = 1ULL << 33, .memory_minimum = 1 << 20, .memory_maximum = 1ULL << 34,
        .memory_buffer = 20, .memory_dynamic = true, .engine = "soft", .vendor = "intel", .nested = true,
        .kernel = "/boot/vmlinuz", .initrd = "/boot/initrd", .append = "console=ttyS0 \xc3\xa9",
        .disks = {{.path = "/a.qcow2", .format = "qcow2"},
                  {.path = "/b.iso", .format = "raw", .readonly = true, .dvd = true}},
        .disk_count = 2,
        .adapters = {{.id = "a", .place = 3, .mac = {2, 0, 0, 0xab, 0, 0xff}, .network = "user"}},
        .adapter_count = 1, .com_ports = {NULL, "/run/com2"}, .user = 100007,
    };
    struct control_config read;
    struct error error;
    char *text = control_config_write(&config);
    assert_non_null(text);
    assert_int_equal(control_config_read(&read, text, strlen(text), &error), 0);
    char *again = control_config_write(&read);
    assert_string_equal(text, again);
    assert_string_equal(read.disks[0].format, "qcow2");
    assert_true(read.disks[1].dvd && read.nested && read.memory_dynamic);
    assert_int_equal(read.adapters[0].place, 3);
    assert_memory_equal(read.adapters[0].mac, config.adapters[0].mac, 6);
    assert_null(read.com_ports[0]);
    assert_string_equal(read.com_ports[1], "/run/com2");
    assert_int_equal(read.user, 100007);
    control_config_free(&read);
    free(text);
    free(again);
}

static void refuses(const char *rest, const char *words)
{
    struct control_config config;
    struct error error;
    char text[1024];
    snprintf(text, sizeof text, "%s%s", least, rest);
    if (!control_config_read(&config, text, strlen(text), &error))
        fail_msg("taken: %s", rest);
    if (!strstr(error.text, words))
        fail_msg("'%s' does not say '%s'", error.text, words);
}

static void refuses_what_is_wrong(void **state)
{
    (void)state;
    struct control_config config;
    struct error error;
    char whole[512];
    snprintf(whole, sizeof whole, "%s}", least);
    assert_int_equal(control_config_read(&config, whole, strlen(whole), &error), 0);
    control_config_free(&config);
    refuses("", "line 1");
    refuses(",\"initrd\":7}", "\"initrd\": expected a string, not a number");
    refuses(",\"memory_buffer\":-1}", "not within 0 to 2000");
    refuses(",\"memory_buffer\":1e3}", "not a fraction");
    refuses(",\"surprise\":1}", "\"surprise\" is not known");
    refuses(",\"cpus\":2}", "duplicate");
    refuses(",\"append\":\"a\\u0000b\"}", "");
    refuses(",\"disks\":[{\"path\":\"/a\",\"format\":\"vmdk\"}]}", "\"vmdk\" is none of its values");
    refuses(",\"disks\":[{\"path\":\"/a\",\"snapshot\":true}]}", "\"snapshot\" is not known");
    refuses(",\"disks\":[{\"path\":\"/a\",\"format\":\"raw\"},7]}", "expected an object");
    refuses(",\"adapters\":[{\"id\":\"a\",\"place\":0,\"network\":\"none\",\"mac\":\"02:00:00:00:00:0g\"}]}",
            "no Ethernet address");
    refuses(",\"com_ports\":[1]}", "expected paths");
    refuses(",\"com_ports\":[null,null,null]}", "more than 2");
    static const char relative[] = "{\"id\":\"1\",\"name\":\"a\",\"directory\":\"run\",\"cpus\":1,"
                                   "\"memory_startup\":1048576,\"engine\":\"auto\",\"vendor\":\"host\","
                                   "\"kernel\":\"k\"}";
    assert_int_equal(control_config_read(&config, relative, strlen(relative), &error), -1);
    assert_non_null(strstr(error.text, "no absolute path"));
}

static void status_survives(void **state)
{
    (void)state;
    const struct control_status status = {
        .state = CONTROL_PAUSED, .engine = "soft", .uptime_ns = 7, .cpu_ns = 1ULL << 60, .memory_assigned = 4096,
        .nested_extension = "vmx", .nested_running = true, .nested_launched = 3, .heartbeat = CONTROL_HEARTBEAT_OK,
        .guest_system = "not UTF-8: \xff", .addresses = "10.0.2.15", .jail = "seccomp",
    };
    struct control_status read;
    struct error error;
    json_t *json = control_status_write(&status);
    assert_non_null(json);
    // A newer worker says more, an older one less.
    json_object_set_new(json, "later", json_true());
    json_object_del(json, "jail");
    assert_int_equal(control_status_read(&read, json, &error), 0);
    assert_int_equal(read.state, CONTROL_PAUSED);
    assert_int_equal(read.cpu_ns, 1ULL << 60);
    assert_string_equal(read.addresses, "10.0.2.15");
    assert_string_equal(read.guest_system, "");
    assert_string_equal(read.jail, "");
    json_object_set_new(json, "state", json_string("asleep"));
    assert_int_equal(control_status_read(&read, json, &error), -1);
    json_object_set_new(json, "state", json_string("running"));
    json_object_set_new(json, "engine", json_string("a name that is too long"));
    assert_int_equal(control_status_read(&read, json, &error), -1);
    json_decref(json);
    assert_int_equal(control_status_read(&read, NULL, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(status_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
