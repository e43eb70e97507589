// `--trace exits`: what the processors ask of the board, a line an exit, with any engine.
#pragma once

#include "worker/vcpu.h"

// After the exit was answered, so that what a read got is known.
void vcpu_trace_exit(const struct vcpu *vcpu);
