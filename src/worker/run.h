// `nidus run`: one VM in this process, from the command line to the exit status.
#pragma once

// argv[0] is the word "run". Returns the process's exit status (status.h).
int run_main(int argc, char **argv);
