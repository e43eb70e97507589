// `nidus daemon`: the service as a process.
#pragma once

int daemon_main(int argc, char **argv);
