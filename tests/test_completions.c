/* What bash, zsh and fish offer at a real command line, at a terminal of its own where they want one. */
#include <stdio.h>
#include <string.h>

#include "support/make_targets.h"
#include "support/suite.h"

#define CHECKPOINT "iteration-00000024.safetensors.gz"

/* What the shells offer in the folder of make_files, one a line and sorted; the last part of a path, without a slash
 * at its end and backslashes. A shell that puts in whole words has before in front of each. */
static const struct {
    const char *line, *before, *offered;
} completions[] = {
    {"spherenet ", "", "bench\ndata\neval\nexport\nfeatures\nhelp\nlist\npredict\nshow\nsweep\ntrain\n"},
    {"spherenet tr", "", "train\n"},
    {"spherenet -", "", "--help\n--version\n"},
    {"spherenet train --r", "", "--resume\n--run-dir\n"},
    {"spherenet train spec.yaml --q", "", "--quiet\n"},
    {"spherenet list op", "", "operators\noptimizers\n"},
    {"spherenet sweep ", "", "list\nslurm\ntable\n"},
    {"spherenet sweep t", "", "table\n"},
    {"spherenet sweep list n", "", "notes.txt\n"},
    {"spherenet sweep list --un", "", "--unfinished\n"},
    {"spherenet sweep --out r", "", "runs\n"},
    {"spherenet help ", "", "bench\ndata\neval\nexport\nfeatures\nhelp\nlist\npredict\nshow\nspec\nsweep\ntrain\n"},
    {"spherenet help be", "", "bench\n"},
    {"spherenet help spec --ma", "", "--man\n--markdown\n"},
    {"spherenet eval --split ", "", "test\ntrain\nvalidation\n"},
    {"spherenet eval --split te", "", "test\n"},
    {"spherenet eval --split=te", "--split=", "test\n"},
    {"spherenet train spec.yaml --set s", "", "schedule.\nschedule=\nseed=\n"},
    {"spherenet train --set network.layers[12].op", "", "network.layers[12].operator.\n"},
    {"spherenet train --set network.layers[12].operator.angular=l",
     "network.layers[12].operator.angular=", "learnable_sigmoid\nlinear\n"},
    {"spherenet show --set=optimizer=a", "--set=optimizer=", "adam\nadamw\n"},
    {"spherenet show --set train.threads=", "", ""},
    {"spherenet train ", "", "my spec.yml\nruns\nspec.yaml\n"},
    {"spherenet train --quiet m", "", "my spec.yml\n"},
    {"spherenet train my\\ s", "", "my spec.yml\n"},
    {"spherenet train ~/trials/s", "", "spec.yaml\n"},
    {"spherenet show runs/tiny/", "", "checkpoints\nspec.yaml\n"},
    {"spherenet eval r", "", "runs\n"},
    {"spherenet features runs/", "", "tiny\n"},
    {"spherenet eval runs/tiny/checkpoints/", "", CHECKPOINT "\n"},
    {"spherenet train spec.yaml --run-dir ", "", "runs\n"},
    {"spherenet train --run-dir=r", "--run-dir=", "runs\n"},
    {"spherenet features --out n", "", "notes.txt\n"},
    {"spherenet export --to ", "", "onnx\ntensorboard\n"},
    {"spherenet export --out=n", "--out=", "notes.txt\n"},
    {"spherenet export r", "", "runs\n"},
    {"spherenet train --set data.path=r", "data.path=", "runs\n"},
    {"spherenet train --set=train.init_from=runs/tiny/checkpoints/i", "--set=train.init_from=", CHECKPOINT "\n"},
};

static void make_files(void) {
    make("pages");
    printed_by("mkdir -p functions trials/runs/tiny/checkpoints && cp share/spherenet.zsh functions/_spherenet");
    printed_by("cd trials && touch spec.yaml 'my spec.yml' notes.txt runs/tiny/spec.yaml "
               "runs/tiny/checkpoints/" CHECKPOINT);
}

/* The command leaves what the shell offers after a line, $1, in ../offered. */
static void expect_offered(const char *command, int i) {
    shell("rm -f started finished offered; : >offered");
    printed_by(arena_printf(&arena, "cd trials && HOME=$PWD/.. %s '%s' </dev/null", command, completions[i].line));
    const char *offered =
        printed_by(arena_printf(&arena,
                                "awk -v n=%zu -v before='%s' "
                                "'{print index($0, before) == 1 ? substr($0, n + 1) : $0}' offered |\n"
                                "sed 's|/$||; s|.*/||; s|\\\\||g' | LC_ALL=C sort -u",
                                strlen(completions[i].before), completions[i].before));
    ck_assert_msg(!strcmp(offered, completions[i].offered), "%s offers after \"%s\"\n%sinstead of\n%s", command,
                  completions[i].line, offered, completions[i].offered);
}

/* --- Bash -------------------------------------------------------------------------------------------------------- */

/* Puts all that it offers into its line. */
static const char *const bashrc = "source ../share/spherenet.bash\n"
                                  "report() {\n"
                                  "    set -f\n"
                                  "    [[ $LINE =~ .*[^\\\\]\\  ]]\n"
                                  "    [[ $READLINE_LINE == \"$LINE\" ]] ||\n"
                                  "        eval \"printf '%s\\n' ${READLINE_LINE#\"$BASH_REMATCH\"}\" >../offered\n"
                                  "    : >../finished\n"
                                  "    exit\n"
                                  "}\n"
                                  "bind '\"\\C-g\": insert-completions'\n"
                                  "bind -x '\"\\C-t\": report'\n"
                                  "PROMPT_COMMAND=': >../started'\n";

START_TEST(bash_completes) {
    SKIP_IF(!has("bash") || !has("script"), "there is no bash, or no script");
    make_files();
    disk_write_text("bashrc", bashrc);
    disk_write_text("complete.sh",
                    "until_there_is() { while [[ ! -e $1 ]]; do sleep 0.02; done; }\n"
                    "export LINE=$1 INPUTRC=/dev/null TERM=dumb\n"
                    "{ until_there_is ../started; printf '%s\\a\\024' \"$1\"; until_there_is ../finished; } |\n"
                    "    script -qec 'bash --rcfile ../bashrc -i' /dev/null\n");
    for (int i = 0; i < COUNT(completions); i++)
        expect_offered("bash ../complete.sh", i);
}
END_TEST

/* --- Fish -------------------------------------------------------------------------------------------------------- */

START_TEST(fish_completes) {
    SKIP_IF(!has("fish"), "there is no fish");
    make_files();
    disk_write_text("complete.fish", "source ../share/spherenet.fish\n"
                                     "complete -C $argv[1] | string replace -r '\\t.*' '' >../offered\n"
                                     "true\n");
    for (int i = 0; i < COUNT(completions); i++)
        expect_offered("fish ../complete.fish", i);
}
END_TEST

/* --- Zsh --------------------------------------------------------------------------------------------------------- */

/* What it offers goes through compadd, which .zshrc listens to; only where compadd has been asked what would match
 * (-O, -D) is nothing offered. */
static const char *const zshrc = "fpath=($PWD/../functions $fpath)\n"
                                 "autoload -U compinit; compinit -D -u\n"
                                 "report() {\n"
                                 "    compadd() {\n"
                                 "        local -a found\n"
                                 "        if ((! $@[(I)-[OD]])); then\n"
                                 "            builtin compadd -O found \"$@\"\n"
                                 "            ((! $#found)) || print -rl -- $found >>../offered\n"
                                 "        fi\n"
                                 "        builtin compadd \"$@\"\n"
                                 "    }\n"
                                 "    _main_complete\n"
                                 "    unfunction compadd\n"
                                 "    : >../finished\n"
                                 "}\n"
                                 "zle -C report list-choices report\n"
                                 "bindkey '^T' report\n"
                                 ": >../started\n";

START_TEST(zsh_completes) {
    SKIP_IF(!has("zsh"), "there is no zsh");
    SKIP_IF(shell("zsh -fc 'zmodload zsh/zpty' 2>/dev/null"), "zsh has no zsh/zpty");
    make_files();
    disk_write_text(".zshrc", zshrc);
    disk_write_text("complete.zsh", "zmodload zsh/zpty\n"
                                    "until_there_is() { while [[ ! -e $1 ]]; do sleep 0.02; done }\n"
                                    "zpty shell 'TERM=dumb ZDOTDIR=.. zsh -d -i'\n"
                                    "until_there_is ../started\n"
                                    "zpty -w -n shell \"$1\"$'\\C-t'\n"
                                    "until_there_is ../finished\n"
                                    "zpty -d shell\n");
    for (int i = 0; i < COUNT(completions); i++)
        expect_offered("zsh -f ../complete.zsh", i);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("completions");
    TCase *shells = suite_group(suite, "shells", 180, program_set_up, program_tear_down);
    tcase_add_test(shells, bash_completes);
    tcase_add_test(shells, fish_completes);
    tcase_add_test(shells, zsh_completes);
    return suite;
}
