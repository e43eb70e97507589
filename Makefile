# nidus: one program, one Makefile.
#
#   make                 build/nidus
#   make demo            Debian's kernel in a VM in a VM; DEPTH=1..3 says how deep (2)
#   make check           everything that proves it: unit tests, guests, transcripts, real kernels
#   make check-debian    Debian from a disk image: a power cut, nidus under its systemd; root, and 15 minutes
#   make check-fault     the service killed under load, FAULTS=200 times
#   make fuzz            the parsers of foreign data under libFuzzer, FUZZ_SECONDS=60 each
#   make bench           how fast it is: against QEMU's TCG and the bare machine, each number beside its goal; ROUNDS=2
#   make bench-network   how fast its network is: iperf3 at two levels, to a server and to a guest, against QEMU's TCG
#   make install         into PREFIX (/usr/local), under DESTDIR
#   make deb             a Debian package, build/nidus_VERSION_amd64.deb
#   make clean           without what was built
#   make SAN=1 ...       the same with AddressSanitizer and UndefinedBehaviorSanitizer, under build-san/
#   make CC=clang ...    the other compiler
#   make V=1 ...         shows the commands

CC ?= gcc
SAN ?=
BUILD ?= build$(if $(SAN),-san)

CPPFLAGS += -Isrc -D_GNU_SOURCE -isystem /usr/include/libnl3
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu17 -pthread -fno-strict-aliasing -fno-omit-frame-pointer \
  -Wall -Wextra -Wshadow -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef -Wpointer-arith -Werror
# Loaded when nidus first needs them (src/base/lazy.h), but by tests and sanitizers as usual.
LAZY := Zydis slirp seccomp pcre2-8 event_core event_extra event_openssl ssl crypto sqlite3 nl-route-3 nl-3
ALWAYS := -ljansson -lm -pthread
LDLIBS += $(LAZY:%=-l%) $(ALWAYS)
ifneq ($(SAN),)
CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
endif
ifeq ($(SAN),fuzzer)
CFLAGS += -fsanitize=fuzzer-no-link
endif

# One line a file; V=1 shows the commands.
V ?=
Q := $(if $(V),,@)
say = $(if $(V),,@echo "$(1)" $(patsubst $(BUILD)/%,%,$@))

SOURCES := $(sort $(shell find src -name '*.c' -o -name '*.S'))
OBJECTS := $(SOURCES:%=$(BUILD)/%.o)
LIBRARY := $(filter-out $(BUILD)/src/main.c.o,$(OBJECTS))
LIVE := $(patsubst test/live/%.c,$(BUILD)/test/live/%,$(wildcard test/live/*.c))
UNIT := $(patsubst test/unit/%.c,$(BUILD)/test/unit/%,$(wildcard test/unit/*.c))

GUEST := $(BUILD)/guest
DEPTH ?= 2
ROUNDS ?= 2
JOBS ?= $(shell nproc)
FAULTS ?= 200
FUZZ_SECONDS ?= 60
PREFIX ?= /usr/local
TAP := $(patsubst guest/tap/%.S,$(GUEST)/tap/%.elf,$(wildcard guest/tap/*.S))
FUZZ := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard test/fuzz/*.c))

.PHONY: all demo check check-debian check-fault bench bench-network fuzz fuzz-run install deb clean guest unit
.DELETE_ON_ERROR:
.SECONDARY:
all: $(BUILD)/nidus

# The targets that are promised to work on a fresh machine first install what is missing, then look at the tree anew.
demo:
	@tools/setup demo
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD) guest
	@tools/demo $(BUILD)/nidus $(GUEST) $(DEPTH)

check:
	@tools/setup check
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD) guest unit
	@test/check $(BUILD)

check-debian:
	@tools/setup check-debian
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD) all $(GUEST)/idle.elf
	@$(MAKE) --no-print-directory BUILD=$(BUILD) deb
	@test/check $(BUILD) debian

check-fault: all $(GUEST)/idle.elf
	@test/fault/fault $(BUILD) $(FAULTS)

bench:
	@tools/setup bench
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD) guest
	@bench/run $(BUILD)/nidus $(GUEST) $(ROUNDS)

bench-network:
	@tools/setup bench-network
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD) guest $(GUEST)/exchange
	@bench/network $(BUILD)/nidus $(GUEST)

fuzz:
	@tools/setup fuzz
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)-fuzz CC=clang SAN=fuzzer fuzz-run

install: all
	install -D -m 755 $(BUILD)/nidus $(DESTDIR)$(PREFIX)/bin/nidus
	install -D -m 644 docs/nidus.1 $(DESTDIR)$(PREFIX)/share/man/man1/nidus.1
	tools/manuals $(BUILD)/nidus $(DESTDIR)$(PREFIX)/share/man/man1
	install -D -m 644 tools/completion/nidus.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nidus
	install -D -m 644 tools/completion/_nidus $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nidus
	@for unit in nidus.service nidus.socket nidus-vms.service; do \
	  install -d $(DESTDIR)$(PREFIX)/lib/systemd/system && \
	  sed 's|@PREFIX@|$(PREFIX)|' packaging/$$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; done
	@for unit in nidus nidus-vms; do \
	  install -d $(DESTDIR)$(PREFIX)/lib/systemd/user && sed 's|@PREFIX@|$(PREFIX)|' packaging/$$unit.user.service \
	  >$(DESTDIR)$(PREFIX)/lib/systemd/user/$$unit.service || exit 1; done

# In a folder of its own, which becomes the package.
VERSION := $(shell sed -n 's/.*NIDUS_VERSION "\(.*\)"/\1/p' src/base/version.h)
deb: all
	rm -rf $(BUILD)/deb
	@$(MAKE) --no-print-directory BUILD=$(BUILD) PREFIX=/usr DESTDIR=$(BUILD)/deb install
	strip $(BUILD)/deb/usr/bin/nidus
	tools/deb $(BUILD)/deb $(VERSION) $(BUILD)/nidus_$(VERSION)_amd64.deb

# Fuzz targets are compiled with the tests, lest they be left behind by what they call.
unit: $(UNIT) $(LIVE) $(BUILD)/test/random/random $(patsubst $(BUILD)/fuzz/%,$(BUILD)/test/fuzz/%.c.o,$(FUZZ))

# What runs inside: the kernel and the initramfs of the demo, and the hand-written test guests.
guest: $(BUILD)/nidus $(GUEST)/probe $(GUEST)/work $(GUEST)/idle.elf $(TAP)
	@tools/guest-kernel $(GUEST)
	@tools/initramfs $(BUILD)/nidus $(GUEST)

ifeq ($(SAN),)
$(BUILD)/lazy.S: $(OBJECTS) tools/lazy-stubs
	$(Q)tools/lazy-stubs $(CC) $@ $(LAZY) -- $(OBJECTS)

$(BUILD)/nidus: $(OBJECTS) $(BUILD)/lazy.S
	$(call say,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(ALWAYS)
else
$(BUILD)/nidus: $(OBJECTS)
	$(call say,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
endif

# The guest's vector registers stay in the host's while the soft engine's C runs, so its C must not touch them.
$(BUILD)/src/engine/soft/%.c.o: CFLAGS += -mgeneral-regs-only -mfsgsbase

$(BUILD)/%.c.o: %.c
	@mkdir -p $(@D)
	$(call say,compile)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.S.o: %.S
	@mkdir -p $(@D)
	$(call say,compile)
	$(Q)$(CC) $(CPPFLAGS) -g -MMD -MP -c -o $@ $<

# What tests and fuzz targets take what they need from; thin: it names the objects, and holds none of them.
$(BUILD)/library.a: $(LIBRARY)
	$(call say,archive)
	$(Q)rm -f $@ && ar rcsT $@ $^

$(UNIT) $(LIVE): %: %.c.o $(BUILD)/library.a
	$(call say,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# Random instructions, on the bare machine and on the soft engine.
RANDOM_OBJECTS := $(patsubst %,$(BUILD)/%.o,$(wildcard test/random/*.c))
$(BUILD)/test/random/%.c.o: CFLAGS += -mfsgsbase
$(BUILD)/test/random/random: $(RANDOM_OBJECTS) $(BUILD)/library.a
	$(call say,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Freestanding and without page-sized gaps: every byte of the initramfs is copied by a slow CPU at every level.
$(GUEST)/probe: guest/probe.c
	@mkdir -p $(@D)
	$(call say,compile)
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra -ffreestanding -fno-stack-protector -nostdlib -static -s \
	  -Wl,--build-id=none -Wl,-z,noseparate-code -o $@ $<

$(GUEST)/work $(GUEST)/exchange: $(GUEST)/%: bench/%.c
	@mkdir -p $(@D)
	$(call say,compile)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -s -o $@ $<

# Linked as 64-bit code, wrapped into the 32-bit ELF file that Multiboot wants.
$(GUEST)/tap/%.elf: guest/tap/%.S guest/tap/tap.inc guest/tap/tap.lds
	@mkdir -p $(@D)
	$(call say,assemble)
	$(Q)$(CC) -Iguest/tap -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack,-z,max-page-size=4096 \
	  -Wl,-T,guest/tap/tap.lds -o $@.64 $<
	$(Q)objcopy -O elf32-i386 $@.64 $@

# Needs no long mode, and no libraries of the tap guests.
$(GUEST)/idle.elf: guest/idle.S guest/tap/tap.lds
	@mkdir -p $(@D)
	$(call say,assemble)
	$(Q)$(CC) -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack,-z,max-page-size=4096 \
	  -Wl,-T,guest/tap/tap.lds -o $@ $<

# A fuzz target sees every object but main's, all of them instrumented.
$(BUILD)/fuzz/%: $(BUILD)/test/fuzz/%.c.o $(BUILD)/library.a
	@mkdir -p $(@D)
	$(call say,link)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

fuzz-run: $(FUZZ)
	@test/fuzz-run $(FUZZ_SECONDS) $(FUZZ)

clean:
	rm -rf build build-san build-fuzz build-san-fuzz

-include $(shell find $(BUILD) -path $(BUILD)/debian -prune -o -name '*.d' -print 2>/dev/null)
