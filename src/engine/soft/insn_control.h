// Instruction functions of control.c: control and debug registers, EFLAGS, translations, time, idling.
#pragma once

#include "engine/soft/insn.h"

insn_function insn_mov_cr, insn_mov_dr, insn_lmsw, insn_smsw, insn_clts;
insn_function insn_xgetbv, insn_xsetbv;
insn_function insn_wbinvd; // and WBNOINVD
insn_function insn_invd;
insn_function insn_hlt, insn_pause, insn_serialize;
insn_function insn_cli, insn_sti, insn_cld, insn_std, insn_clac, insn_stac;
insn_function insn_pushf, insn_popf; // all operand sizes
insn_function insn_invlpg, insn_invpcid;
insn_function insn_rdtsc, insn_rdtscp, insn_rdpmc, insn_rdpid;
