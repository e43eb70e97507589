// What this system is, its clock, and how it is shut down.
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/command.h"

// One line of os-release(5): NAME=value, NAME="value".
static void system_release_line(json_t *information, char *line)
{
    static const struct {
        const char *key, *name;
    } names[] = {{"NAME", "name"}, {"PRETTY_NAME", "pretty-name"}, {"VERSION", "version"}, {"VERSION_ID", "version-id"},
                 {"ID", "id"}, {"VARIANT", "variant"}, {"VARIANT_ID", "variant-id"}};
    char *value = strchr(line, '=');
    if (!value)
        return;
    *value++ = 0;
    value[strcspn(value, "\n")] = 0;
    size_t length = strlen(value);
    if (length > 1 && (*value == '"' || *value == '\'') && value[length - 1] == *value) {
        value[length - 1] = 0;
        value++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(line, names[i].key))
            json_object_set_new(information, names[i].name, json_string(value));
}

json_t *system_information(const json_t *arguments, struct error *error)
{
    struct utsname names;
    char line[256];
    (void)arguments, (void)error;
    uname(&names);
    json_t *information = json_pack("{s:s, s:s, s:s, s:s}", "kernel-release", names.release, "kernel-version",
                                    names.version, "machine", names.machine, "pretty-name", names.sysname);
    FILE *file = fopen("/etc/os-release", "re");
    if (!file)
        file = fopen("/usr/lib/os-release", "re");
    while (file && fgets(line, sizeof line, file))
        system_release_line(information, line);
    if (file)
        fclose(file);
    return information;
}

json_t *system_host_name(const json_t *arguments, struct error *error)
{
    char name[256] = "";
    (void)arguments;
    if (!gethostname(name, sizeof name - 1))
        return json_pack("{s:s}", "host-name", name);
    error_set(error, "no host name: %s", strerror(errno));
    return NULL;
}

// --- Shutdown ---

struct shutdown_mode {
    const char *name, *option;
    int call; // of reboot(2)
};

// The system's own way, which stops its services; without one, the kernel's.
static int system_shutdown_by(const struct shutdown_mode *mode, struct error *error)
{
    static const char program[] = "/sbin/shutdown";
    char *words[] = {(char *)program, (char *)mode->option, "+0", NULL};
    char *environment[] = {NULL};
    pid_t child;
    int status;
    if (!access(program, X_OK)) {
        if (posix_spawn(&child, program, NULL, NULL, words, environment) || waitpid(child, &status, 0) != child ||
            !WIFEXITED(status) || WEXITSTATUS(status))
            return error_set(error, "%s %s +0 failed", program, mode->option);
        return 0;
    }
    sync();
    return reboot(mode->call) ? error_set(error, "the system does not shut down: %s", strerror(errno)) : 0;
}

json_t *system_shutdown(const json_t *arguments, struct error *error)
{
    static const struct shutdown_mode modes[] = {
        {"powerdown", "-P", RB_POWER_OFF}, {"halt", "-H", RB_HALT_SYSTEM}, {"reboot", "-r", RB_AUTOBOOT}};
    const json_t *wanted = json_object_get(arguments, "mode");
    const char *name = wanted ? json_string_value(wanted) : "powerdown";
    for (size_t i = 0; name && i < ARRAY_SIZE(modes); i++)
        if (!strcmp(modes[i].name, name))
            return system_shutdown_by(&modes[i], error) ? NULL : json_object();
    error_set(error, "mode '%s': expected powerdown, halt or reboot", name ? name : "");
    return NULL;
}

// --- The clock ---

json_t *system_get_time(const json_t *arguments, struct error *error)
{
    struct timespec now;
    (void)arguments, (void)error;
    clock_gettime(CLOCK_REALTIME, &now);
    return json_integer((json_int_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

static int system_read_rtc(struct timespec *time, struct error *error)
{
    struct rtc_time rtc;
    int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : ioctl(fd, RTC_RD_TIME, &rtc);
    if (fd >= 0)
        close(fd);
    if (result < 0)
        return error_set(error, "the real-time clock cannot be read: %s", strerror(errno));
    struct tm date = {.tm_sec = rtc.tm_sec, .tm_min = rtc.tm_min, .tm_hour = rtc.tm_hour, .tm_mday = rtc.tm_mday,
                      .tm_mon = rtc.tm_mon, .tm_year = rtc.tm_year};
    *time = (struct timespec){.tv_sec = timegm(&date)};
    return 0;
}

// Without a time, that of the real-time clock.
json_t *system_set_time(const json_t *arguments, struct error *error)
{
    const json_t *wanted = json_object_get(arguments, "time");
    json_int_t nanoseconds = json_integer_value(wanted);
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    if (wanted && (!json_is_integer(wanted) || nanoseconds < 0)) {
        error_set(error, "time: expected nanoseconds since 1970");
        return NULL;
    }
    if (!wanted && system_read_rtc(&time, error))
        return NULL;
    if (!clock_settime(CLOCK_REALTIME, &time))
        return json_object();
    error_set(error, "the clock cannot be set: %s", strerror(errno));
    return NULL;
}
