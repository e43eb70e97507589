// `nidus worker`: one VM in a process that the service started, and that lives on without it. control/control.h says
// how it is started and what it takes and tells.
#pragma once

// argv[0] is the word "worker". Returns the process's exit status (status.h).
int worker_main(int argc, char **argv);
