# spherenet: `make help` lists the targets.

ARCH ?= native
CC ?= cc
PKGS := openblas yaml-0.1 zlib jansson

# Variants of the same sources, each in its own folder below build/.
VARIANT ?= release
OPT_release := -O3 -march=$(ARCH) -DNDEBUG
OPT_f64     := -O2 -march=$(ARCH) -DSN_DOUBLE
OPT_asan    := -O1 -g -march=$(ARCH) -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_debug   := -O0 -g

WARN   := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
CFLAGS_ALL = -std=gnu11 $(OPT_$(VARIANT)) -fopenmp -fno-math-errno -fno-trapping-math $(WARN) -MMD -MP -Isrc -Itests \
             $(shell pkg-config --cflags $(PKGS)) $(CFLAGS)
LIBS   = $(OPT_$(VARIANT)) -fopenmp $(shell pkg-config --libs $(PKGS)) -lm $(LDFLAGS)

B      := build/$(VARIANT)
SRC    := $(sort $(wildcard src/*/*.c))
OBJ    := $(SRC:%.c=$(B)/%.o)
LIBOBJ := $(filter-out $(B)/src/cli/main.o,$(OBJ))
TESTS  := $(sort $(wildcard tests/$(if $(filter f64,$(VARIANT)),f64,test)_*.c))
TESTBIN := $(TESTS:tests/%.c=$(B)/tests/%)

all: spherenet ## build ./spherenet (the default)

spherenet: $(B)/spherenet
	cp $< $@

$(B)/spherenet: $(OBJ)
	$(CC) -o $@ $^ $(LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c -o $@ $<

$(B)/libspherenet.a: $(LIBOBJ)
	rm -f $@
	ar rcs $@ $^

$(B)/tests/%: $(B)/tests/%.o $(B)/tests/runner.o $(B)/libspherenet.a
	$(CC) -o $@ $^ $(LIBS) $(shell pkg-config --libs check)

.PRECIOUS: $(B)/%.o
.PHONY: all
-include $(shell find build -name '*.d' 2>/dev/null)

# The C library's vector functions are used where the compiler may treat arithmetic as real numbers.
$(B)/src/kernel/vmath.o: OPT_$(VARIANT) += -ffast-math

.PHONY: tests
tests: $(TESTBIN)
