#include "support/make_targets.h"

#include "support/suite.h"

const char *printed_by(const char *command) {
    int status = shell(arena_printf(&arena, "{ %s\n} >printed.txt 2>&1", command));
    const char *text = read_text("printed.txt");
    ck_assert_msg(status == 0, "exit status %d of %s:\n%s", status, command, text);
    return text;
}

const char *make(const char *arguments) {
    return printed_by(arena_printf(&arena,
                                   "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u VARIANT make -s -C '%s' "
                                   "PROGRAM=\"$SPHERENET\" SHARE='%s/share' DESTDIR='%s/with blank' PREFIX=/usr %s",
                                   home, folder, folder, arguments));
}

bool has(const char *program) {
    return !shell(arena_printf(&arena, "command -v %s >/dev/null 2>&1", program));
}
