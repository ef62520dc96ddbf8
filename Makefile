# spherenet: `make help` lists the targets.

# The CPU to build for: native, or x86-64-v2, x86-64-v3, ... for a program that is to run elsewhere.
ARCH ?= native
CC ?= cc
# For the targets that need Clang, whatever CC is.
CLANG ?= clang
# Tests share the processors with each other; idle threads that spin for long would slow them down.
export GOMP_SPINCOUNT ?= 20000
# What the compiler makes programs for, be it this machine or another one.
X86_64 := $(filter x86_64%,$(shell $(CC) -dumpmachine))
# Compilers prefer half of the vectors that a CPU with AVX-512 has, out of care for older ones.
WIDE := $(if $(X86_64),-mprefer-vector-width=512)
# V=1 shows whole command lines.
Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)")
PKGS := openblas yaml-0.1 zlib jansson libxxhash libprotobuf-c libjpeg libpng

# Variants of the same sources: release, f64 (double arithmetic), and those that look for mistakes or count what is run.
# Each has a folder of its own below build/, and so has each CPU and compiler other than the usual: build/release,
# build/x86-64-v3-f64, build/clang-release.
VARIANT ?= release
# Checks by the compiler and the C library at little cost, and addresses that nobody can guess; `make HARDENING=` is
# without. What a compiler may not take is asked for. Packagers' own degree of _FORTIFY_SOURCE counts.
FORTIFY := $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
takes = $(shell $(CC) $(1) -S -o /dev/null -x c /dev/null >/dev/null 2>&1 && echo $(1))
HARDENING ?= $(FORTIFY) -fPIE -fstack-protector-strong \
             $(call takes,-fstack-clash-protection) $(if $(X86_64),$(call takes,-fcf-protection))
HARDENING := $(HARDENING)
comma :=,
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_release := -O3 -DNDEBUG $(HARDENING)
OPT_f64     := -O2 -DSN_DOUBLE
OPT_asan    := $(SANITIZE)
OPT_asan64  := $(SANITIZE) -DSN_DOUBLE
OPT_fuzz    := $(SANITIZE) -fsanitize=fuzzer-no-link
OPT_warn    := -O2 -Werror $(HARDENING)
OPT_warn64  := $(OPT_warn) -DSN_DOUBLE
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_memcheck := -O1 -g
OPT_coverage := -O1 -g -DNDEBUG --coverage
OPT_coverage64 := $(OPT_coverage) -DSN_DOUBLE
LINK_release := $(if $(HARDENING),-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now$(comma)-z$(comma)noexecstack)

# Clang's OpenMP library tells ThreadSanitizer of its barriers by Archer, which is beside it; the library itself and
# OpenBLAS are not instrumented. Left out: a test that limits the size of files, which stops the OpenMP library; one
# that measures memory, of which the sanitizer takes more; suites that fail or kill the program in hundreds of runs; one
# that trains on real images, in the loops of all others; one that stands before malloc, as the sanitizer has to; one of
# processes, whose libraries are not instrumented.
TSAN_ENV = OMP_TOOL_LIBRARIES=$(shell $(CLANG) -print-resource-dir)/../../libarcher.so CK_TIMEOUT_MULTIPLIER=10 \
           CK_EXCLUDE_TAGS="file-limit memory" TSAN_OPTIONS=ignore_noninstrumented_modules=1
# Start the program thousands of times.
CRASH_SUITES := $(patsubst %,tests/test_%.c,faults image_faults kill signals)
NOT_TSAN := $(CRASH_SUITES) tests/test_real_images.c tests/test_picture_faults.c tests/test_processes.c

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wundef -Wpointer-arith -Wcast-align -Wwrite-strings
# clang warns of every loop that `omp simd` does not make it vectorise, such as those over functions of the C library.
WARNINGS += $(if $(findstring clang,$(CC)),-Wno-pass-failed)
# What the sources are written in, for tools/lint too.
LANGUAGE := -std=gnu11 -march=$(ARCH) -fopenmp -Isrc -Itests -Ibuild/messages $(shell pkg-config --cflags $(PKGS)) \
            $(shell pkg-config --cflags check 2>/dev/null)
COMPILE = $(CC) $(LANGUAGE) $(OPT_$(VARIANT)) -fno-math-errno -fno-trapping-math $(WIDE) $(WARNINGS) -MMD -MP \
          $(CPPFLAGS) $(CFLAGS) $(OWN_FLAGS)
LINK    = $(CC) $(OPT_$(VARIANT)) $(LINK_$(VARIANT)) -fopenmp $(CFLAGS) $(LDFLAGS)
# dlsym is in a library of its own before glibc 2.34.
LIBS    := $(shell pkg-config --libs $(PKGS)) -lm -ldl $(LDLIBS)
CHECK   := $(shell pkg-config --libs check 2>/dev/null)

empty    :=
B        := build/$(subst $(empty) ,-,$(strip $(filter-out cc gcc,$(notdir $(CC))) $(filter-out native,$(ARCH)) $(VARIANT)))
# C made from descriptions of messages: ONNX's own, which Debian ships, and those in src/.
ONNX_PROTO ?= /usr/include/onnx/onnx.proto
PROTOS   := $(ONNX_PROTO) $(sort $(wildcard src/*/*.proto))
MESSAGES := $(patsubst %.proto,build/messages/%.pb-c.c,$(notdir $(PROTOS)))
OBJECTS  := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard src/*/*.c)) $(MESSAGES))
LIBRARY  := $(filter-out $(B)/src/cli/main.o,$(OBJECTS))
# SKIP: suites that a target can do without.
SUITES   := $(filter-out $(SKIP),$(sort $(wildcard tests/$(if $(filter %64,$(VARIANT)),f64,test)_*.c)))
PROGRAMS := $(SUITES:%.c=$(B)/%)
# tests/support/f64_*.c serve the suites in double arithmetic alone.
OTHERS   := tests/faults/% $(if $(filter %64,$(VARIANT)),,tests/support/f64_%)
SUPPORT  := $(patsubst %.c,$(B)/%.o,tests/runner.c $(filter-out $(OTHERS),$(sort $(wildcard tests/*/*.c))))
FUZZ_SUPPORT := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/fuzz/*.c)) tests/support/tensor_file.c)

# What knows MPI is a part of its own, which the program opens when a launcher has started several processes; there is
# none where the compiler for MPI is not (`make MPICC=` is without).
MPICC    ?= mpicc
MPI_PART := $(if $(MPICC),$(if $(shell command -v $(MPICC)),$(B)/spherenet-mpi.so))

# The pages are made by the program, which runs here when it is built for this CPU.
all: spherenet $(MPI_PART:%=spherenet-mpi.so) $(if $(filter native,$(ARCH)),pages) ## build ./spherenet and its manual pages (the default)

# Which of the programs below build/ was copied last does not follow from the times of the files.
spherenet: $(B)/spherenet FORCE
	$(Q)cmp -s $< $@ || cp --remove-destination $< $@

spherenet-mpi.so: $(MPI_PART) FORCE
	$(Q)cmp -s $< $@ || cp --remove-destination $< $@

# In the language of the rest, but of warnings only those that mpi.h is free of.
$(B)/spherenet-mpi.so: src/process/mpi/mpi_part.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)OMPI_CC="$(CC)" MPICH_CC="$(CC)" $(MPICC) -std=gnu11 -Isrc $(filter-out -fPIE,$(OPT_$(VARIANT))) -fPIC -shared -Wl,-z,relro -Wl,-z,now $(WARNINGS) \
	    -MMD -MP -MF $(@:.so=.d) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<
	$(Q)chmod -x $@

$(B)/spherenet: $(OBJECTS)
	$(call say,link $@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

$(B)/libspherenet.a: $(LIBRARY)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

# Changes when a flag does, and then everything is made again.
flags  = $(COMPILE), $(FAST), $(BASELINE), $(LINK) $(LIBS)
quoted = '$(subst ','\'',$(1))'
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf "%s\n" $(call quoted,$(flags)) | cmp -s - $@ || printf "%s\n" $(call quoted,$(flags)) > $@

vpath %.proto $(sort $(dir $(PROTOS)))
build/messages/%.pb-c.c build/messages/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	$(call say,messages of $<) >&2
	$(Q)protoc-c --c_out=$(@D) -I$(<D) $<

$(B)/%.o: %.c $(B)/flags | $(MESSAGES)
	@mkdir -p $(@D)
	$(call say,compile $@)
	$(Q)$(COMPILE) -c -o $@ $<

# Arithmetic as with real numbers, so that the compiler may use the C library's vector functions.
FAST := -ffast-math
$(B)/src/kernel/vmath.o: OWN_FLAGS := $(FAST)
# Has to run on CPUs that the program is not built for, so as to say so.
BASELINE := $(if $(X86_64),-march=x86-64)
$(B)/src/machine/cpu_guard.o: OWN_FLAGS := $(BASELINE)

$(PROGRAMS): $(B)/tests/%: $(B)/tests/%.o $(SUPPORT) $(B)/libspherenet.a
	$(call say,link $@)
	$(Q)$(LINK) -o $@ $^ $(CHECK) $(LIBS)

# Is preloaded into the program, whatever that is built with.
$(B)/tests/inject.so: tests/faults/inject.c tests/faults/inject.h $(B)/flags
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CC) -std=gnu11 -O2 -g -fPIC -shared $(filter -Werror,$(OPT_$(VARIANT))) $(WARNINGS) -o $@ $< -ldl

$(B)/tests/test_faults $(B)/tests/test_image_faults: | $(B)/tests/inject.so

test: ## build and run all tests
	@$(MAKE) $(SIDE_BY_SIDE) run-suites VARIANT=release
	@$(MAKE) $(SIDE_BY_SIDE) run-suites VARIANT=f64

asan: ## the same under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) $(SIDE_BY_SIDE) run-suites VARIANT=asan
	@$(MAKE) $(SIDE_BY_SIDE) run-suites VARIANT=asan64

# One thread, since fuzzing goes best when the same input takes the same way. FUZZ_FLAGS are for libFuzzer.
FUZZ_SECONDS ?= 60
FUZZERS      := spec checkpoint data picture tree
FUZZ_LIMITS  := -timeout=60 -rss_limit_mb=1024 -malloc_limit_mb=256
# Bytes; longer inputs are cut. Specs that take seconds are in the corpus for the tests, and too slow to be fuzzed.
FUZZ_LONGEST_spec       := 4096
FUZZ_LONGEST_checkpoint := 65536
FUZZ_LONGEST_data       := 65536
FUZZ_LONGEST_picture    := 4096
FUZZ_LONGEST_tree       := 2048

fuzz: ## let the fuzzers look for inputs that break the readers of files, FUZZ_SECONDS=60 each (needs clang and its OpenMP)
	@$(MAKE) --no-print-directory $(FUZZERS:%=run-fuzz-%) VARIANT=fuzz CC=$(CLANG)

$(FUZZERS:%=$(B)/tests/fuzz_%.o): $(B)/tests/fuzz_%.o: tests/fuzz_main.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -DTARGET=fuzz_$* -c -o $@ $<

$(FUZZERS:%=$(B)/tests/fuzz_%): $(B)/tests/fuzz_%: $(B)/tests/fuzz_%.o $(FUZZ_SUPPORT) $(B)/libspherenet.a
	$(call say,link $@)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# The keys and rows of a spec, as words to try.
$(B)/spec.dict: docs/spec.md
	$(Q)grep -o '`[][a-z_0-9.]*`' $< | tr '`' '"' | sort -u > $@

# What is new goes below build/, not into the sources: inputs to corpus/, those that break something to found/.
run-fuzz-%: $(B)/tests/fuzz_% $(B)/spec.dict
	@mkdir -p $(B)/corpus/$* $(B)/found
	OMP_NUM_THREADS=1 $< -dict=$(B)/spec.dict -artifact_prefix=$(B)/found/$*- $(FUZZ_LIMITS) -max_len=$(FUZZ_LONGEST_$*) \
	    -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $(FUZZ_FLAGS) $(B)/corpus/$* tests/fuzz/corpus/$*

# Faults and kills start the program thousands of times, and what it does with files does not depend on the CPU.
portable: ## the tests of programs built for x86-64-v2 and x86-64-v3
ifneq ($(X86_64),)
	@$(MAKE) --no-print-directory test ARCH=x86-64-v2 SKIP='$(CRASH_SUITES)'
	@$(MAKE) --no-print-directory test ARCH=x86-64-v3 SKIP='$(CRASH_SUITES)'
else
	@echo "portable: nothing to do, the compiler makes programs for $(shell $(CC) -dumpmachine), not for x86-64"
endif

# Every suite of one variant, as many at a time as make has jobs; a failure does not keep the others from running.
SIDE_BY_SIDE := --no-print-directory --keep-going --output-sync=target

run-suites: $(PROGRAMS:%=run-%)

$(PROGRAMS:%=run-%): run-%: % $(B)/spherenet $(MPI_PART)
	@SPHERENET=$(B)/spherenet $<

warnings: ## compile everything with GCC and Clang, where any warning is an error
	@set -e; for compiler in gcc $(CLANG); do for variant in warn warn64; do \
	    $(MAKE) --no-print-directory compile-only CC=$$compiler VARIANT=$$variant; \
	done; done

compile-only: $(MPI_PART) $(OBJECTS) $(SUITES:%.c=$(B)/%.o) $(SUPPORT) $(FUZZERS:%=$(B)/tests/fuzz_%.o) $(B)/tests/inject.so

tsan: ## the tests under ThreadSanitizer (Clang)
	@$(TSAN_ENV) $(MAKE) $(SIDE_BY_SIDE) run-suites VARIANT=tsan CC=$(CLANG) SKIP='$(NOT_TSAN)'

memcheck: ## the commands under valgrind, on a small spec
	@$(MAKE) --no-print-directory check-memory VARIANT=memcheck $(if $(X86_64),ARCH=x86-64-v3)

check-memory: $(B)/spherenet
	tools/memcheck $<

# Processes that are killed write no counts; those whose writes fail, wrong ones.
coverage: ## lines and branches of src/ that the tests run, by folder (gcov)
	@rm -f build/coverage*/*/*/*.gcda
	@failed=; for variant in coverage coverage64; do \
	    CK_EXCLUDE_TAGS='file-limit memory' $(MAKE) $(SIDE_BY_SIDE) run-suites VARIANT=$$variant \
	        SKIP='$(CRASH_SUITES)' || failed=1; \
	done; tools/coverage build/coverage build/coverage64; [ -z "$$failed" ]

lint: ## clang-tidy, cppcheck and shellcheck
	tools/lint

# --- Installation -----------------------------------------------------------------------------------------------------

PREFIX ?= /usr/local
INSTALL ?= install
# Below PREFIX.
ZSH_FOLDER ?= share/zsh/site-functions
# What is installed, and what makes manual pages and completions where that does not run on this machine.
PROGRAM   ?= $(B)/spherenet
GENERATOR ?= $(PROGRAM)
# Where the pages and completions are made.
SHARE     ?= $(B)/share

# Tools that are installed, as bin/spherenet-NAME, and what they import.
TOOLS := plot_curves plot_features get_data
MODULES := common.py plotting.py spherenet_torch.py
hyphens = $(subst _,-,$(1))
TOOL_PAGES := $(foreach tool,$(TOOLS),$(SHARE)/spherenet-$(call hyphens,$(tool)).1)
PAGES := $(SHARE)/spherenet.1 $(SHARE)/spherenet-spec.5 $(TOOL_PAGES)
COMPLETIONS := $(foreach shell,bash zsh fish,$(SHARE)/spherenet.$(shell))

pages: $(PAGES) $(COMPLETIONS)

$(SHARE)/spherenet.1: OF := --man
$(SHARE)/spherenet-spec.5: OF := spec --man
$(SHARE)/words: OF := --words
$(SHARE)/spherenet.1 $(SHARE)/spherenet-spec.5 $(SHARE)/words: $(GENERATOR)
	@mkdir -p $(@D)
	$(Q)$(abspath $(GENERATOR)) help $(OF) > $@

.SECONDEXPANSION:
$(TOOL_PAGES): $(SHARE)/spherenet-%.1: tools/$$(subst -,_,$$*) tools/man_page
	@mkdir -p $(@D)
	$(Q)tools/man_page $< spherenet-$* > $@

# As it stands between quotes of fish.
$(SHARE)/words.fish: $(SHARE)/words
	$(Q)sed "s/[\\\\']/\\\\&/g" $< > $@

$(SHARE)/spherenet.fish: $(SHARE)/words.fish
$(SHARE)/spherenet.bash $(SHARE)/spherenet.zsh: $(SHARE)/words
$(COMPLETIONS): $(SHARE)/%: completions/%
	$(Q)sed -e '/^@WORDS@$$/{r $(filter $(SHARE)/words%,$^)' -e 'd;}' $< > $@

# FILE:PLACE_BELOW_PREFIX; what can be executed here can be there.
FILES := $(PROGRAM):bin/spherenet $(MPI_PART:%=%:lib/spherenet/spherenet-mpi.so) \
         $(foreach file,$(TOOLS) $(MODULES),tools/$(file):share/spherenet/tools/$(file)) \
         $(foreach file,$(sort $(wildcard configs/*)),$(file):share/spherenet/$(file)) \
         $(foreach page,$(PAGES),$(page):share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
         $(SHARE)/spherenet.bash:share/bash-completion/completions/spherenet \
         $(SHARE)/spherenet.zsh:$(ZSH_FOLDER)/_spherenet \
         $(SHARE)/spherenet.fish:share/fish/vendor_completions.d/spherenet.fish
INTO = "$(DESTDIR)$(PREFIX)"
# The folders that install makes, a line each; uninstall reads it.
MADE = $(SHARE)/"folders$(subst /,-,$(DESTDIR)$(PREFIX))"

# The page of the program names the specs as they lie below /usr/local.
install: $(PROGRAM) $(MPI_PART) pages ## install below PREFIX=/usr/local, or what DESTDIR puts before that
	@set -e; \
	folder() { [ -d "$$1" ] || { folder "$$(dirname "$$1")"; $(INSTALL) -d -m 755 "$$1"; echo "$$1" >> $(MADE); }; }; \
	for file in $(FILES); do \
	    place=$(INTO)/"$${file#*:}" mode=$$(test -x "$${file%%:*}" && echo 755 || echo 644); \
	    folder "$${place%/*}"; $(INSTALL) -m $$mode "$${file%%:*}" "$$place"; \
	done
	@$(foreach tool,$(TOOLS),ln -sf ../share/spherenet/tools/$(tool) $(INTO)/bin/spherenet-$(call hyphens,$(tool)) &&) :
	@sed -i 's|/usr/local|$(subst &,\&,$(PREFIX))|g' $(INTO)/share/man/man1/spherenet.1
	@echo "installed below" $(INTO)

# Its own folders go, and others that it made where nothing else is in them.
uninstall: ## remove what `make install` installed, given the same PREFIX and DESTDIR
	@for file in $(FILES); do rm -f $(INTO)/"$${file#*:}"; done
	@rm -f $(foreach tool,$(TOOLS),$(INTO)/bin/spherenet-$(call hyphens,$(tool)))
	@for folder in share/spherenet/configs share/spherenet/tools share/spherenet lib/spherenet; do \
	    rmdir $(INTO)/$$folder 2>/dev/null || :; done
	@[ ! -e $(MADE) ] || LC_ALL=C sort -ru $(MADE) | while IFS= read -r folder; do rmdir "$$folder" 2>/dev/null || :; done
	@rm -f $(MADE)

# The tests take ten minutes.
deb: export DEB_BUILD_OPTIONS ?= nocheck
deb: ## build Debian packages into build/deb; with DEB_BUILD_OPTIONS= test them too
	@rm -rf build/deb
	@mkdir -p build/deb/source
	@cp -r LICENSE Makefile README.md completions configs debian docs src tests tools build/deb/source
	@cd build/deb/source && dpkg-buildpackage -us -uc -b
	@! command -v lintian >/dev/null || lintian --allow-root --fail-on error build/deb/*.changes
	@ls build/deb/*.deb

language: $(MESSAGES)
	@echo $(LANGUAGE)

golden: ## make tests/golden again (needs python3-torch)
	/usr/bin/python3 tests/golden/generate.py

docs: spherenet ## make docs/spec.md again
	./spherenet help spec --markdown > docs/spec.md

format: ## put all C sources into the project's format
	clang-format -i $(wildcard src/*/*.[ch] tests/*.[ch] tests/*/*.[ch])

clean: ## remove what was built
	rm -rf build spherenet spherenet-mpi.so

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: FORCE all test asan fuzz portable run-suites warnings compile-only tsan memcheck check-memory coverage lint \
        pages install uninstall deb language golden docs format clean help
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find build -path build/deb -prune -o -name '*.d' -type f -print 2>/dev/null)
