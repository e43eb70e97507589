// One program, many names: the first word of the command line picks what this process is.
#include <stdio.h>
#include <string.h>

#include "agent/guest_agent.h"
#include "base/lazy.h"
#include "base/types.h"
#include "base/version.h"
#include "service/daemon.h"
#include "shell/shell_main.h"
#include "switch/switch_main.h"
#include "worker/run.h"
#include "worker/status.h"
#include "worker/suggest.h"
#include "worker/worker.h"

struct command {
    const char *name;
    const char *summary;
    int (*main)(int argc, char **argv); // argv[0] is the command's name
    bool loads;                         // needs the libraries, and before it gives up the right to look for them
};

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct command commands[] = {
    {"run", "run one VM in this terminal; its exit status is the command's", run_main, true},
    {"daemon", "keep the records of VMs and carry out cmdlets", daemon_main, true},
    {"worker", "one VM for the service, which starts it", worker_main, true},
    {"switch", "one virtual switch for the service, which starts it", switch_main, true},
    {"guest-agent", "inside a VM: answers its host's questions, and shuts down when it asks", guest_agent_main, false},
    {"--help", "print this and end", command_help, false},
    {"--version", "print the version and end", command_version, false},
};

static const char *command_name(unsigned index)
{
    return index < ARRAY_SIZE(commands) ? commands[index].name : NULL;
}

static void command_list(FILE *to)
{
    fputs("usage: nidus                          a prompt\n"
          "       nidus [--json] CMDLET ARGS...  Get-VM, Set-VMProcessor, ...: Hyper-V's commands\n"
          "       nidus [--json] -Command TEXT   a pipeline or several\n"
          "       nidus [--json] FILE.ps1 ...    a script and its parameters; - is standard input\n"
          "       nidus --server URL ...         the same on another host: nidus(1)\n"
          "       nidus COMMAND [OPTION...]\n"
          "Runs virtual machines in which you can run a hypervisor, with or without hardware for it.\n\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fputs("\nnidus Get-Help tells of the cmdlets, nidus run --help of the options of a VM; the manual is nidus(1).\n",
          to);
}

static int command_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    command_list(stdout);
    return 0;
}

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("nidus " NIDUS_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return shell_main(argc, argv);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!strcmp(argv[1], commands[i].name)) {
            if (commands[i].loads)
                lazy_load();
            return commands[i].main(argc - 1, argv + 1);
        }
    if (shell_knows(argv[1]))
        return shell_main(argc, argv);
    const char *nearest = suggest_nearest(argv[1], command_name);
    fprintf(stderr, "nidus: %s: there is no such command%s%s%s\n", argv[1],
            nearest ? "; did you mean \"" : "; nidus --help lists them", nearest ? nearest : "", nearest ? "\"?" : "");
    return STATUS_USAGE;
}
