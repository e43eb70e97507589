// Libraries that are loaded when a program of nidus first calls one: tools/lazy-stubs has the other half. A short
// command of the shell needs none of those that the service and the virtual CPUs stand on. Where nidus is linked with
// them as usual (tests, sanitizers) there is nothing to load.
#pragma once

// All of them at once, before there are threads, a jail or a guest: for programs that will need most. A library that is
// not there ends the process with words, as the loader would.
void lazy_load(void);
