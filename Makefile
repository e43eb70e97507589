# nidus: one program, one Makefile.
#
#   make            build/nidus
#   make check      everything that proves it: unit tests, guests, transcripts, real kernels
#   make SAN=1 ...  the same with AddressSanitizer and UndefinedBehaviorSanitizer, under build-san/
#   make CC=clang   the other compiler

CC ?= gcc
SAN ?=
BUILD ?= build$(if $(SAN),-san)

PACKAGES = zydis slirp libseccomp
CPPFLAGS += -Isrc -D_GNU_SOURCE
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu17 -pthread -fno-strict-aliasing -fno-omit-frame-pointer \
  -Wall -Wextra -Wshadow -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef -Wpointer-arith -Werror
LDLIBS += -lZydis -lslirp -lseccomp -pthread
ifneq ($(SAN),)
CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
endif

SOURCES := $(sort $(shell find src -name '*.c' -o -name '*.S'))
OBJECTS := $(SOURCES:%=$(BUILD)/%.o)
LIBRARY := $(filter-out $(BUILD)/src/main.c.o,$(OBJECTS))
UNIT := $(patsubst test/unit/%.c,$(BUILD)/test/unit/%,$(wildcard test/unit/*.c))

.PHONY: all check clean
all: $(BUILD)/nidus

$(BUILD)/nidus: $(OBJECTS)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The guest's vector registers stay in the host's while the soft engine's C runs, so its C must not touch them.
$(BUILD)/src/engine/soft/%.c.o: CFLAGS += -mgeneral-regs-only -mfsgsbase

$(BUILD)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -g -MMD -MP -c -o $@ $<

$(BUILD)/test/unit/%: $(BUILD)/test/unit/%.c.o $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

clean:
	rm -rf build build-san

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
