#include "cli/man.h"

#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/command.h"

/* --- Roff -------------------------------------------------------------------------------------------------------- */

/* A character as roff takes it, or NULL where it stands for itself. */
static const char *escape(char c) {
    static const char characters[] = "\\-'^~";
    static const char *const escapes[] = {"\\e", "\\-", "\\(aq", "\\(ha", "\\(ti"};
    const char *found = strchr(characters, c);
    return found ? escapes[found - characters] : NULL;
}

void man_text(const char *text) {
    bool bold = false;
    if (*text == '.')
        printf("\\&");
    for (; *text; text++) {
        const char *escaped = escape(*text);
        if (*text == '\n' && !text[1])
            break;
        if (*text == '`') {
            bold = !bold;
            printf(bold ? "\\fB" : "\\fR");
        } else if (escaped) {
            printf("%s", escaped);
        } else {
            putchar(*text);
        }
    }
    printf("\n");
}

/* One of a list: a tag, whose value is in italics, and what is said of it. */
static void item(const char *tag, const char *value, const char *help) {
    printf(".TP\n\\fB");
    for (; *tag; tag++)
        printf(*tag == '-' ? "\\-" : "%c", *tag);
    printf("\\fR%s%s%s\n", value ? " \\fI" : "", value ? value : "", value ? "\\fR" : "");
    man_text(help);
}

static void begin(const char *title, int section, const char *name, const char *summary) {
    printf(".TH %s %d \"\" \"spherenet %s\"\n.SH NAME\n", title, section, SPHERENET_VERSION);
    printf("%s \\- %s\n.nh\n.ad l\n", name, summary);
}

/* --- The program ------------------------------------------------------------------------------------------------- */

static void print_command(const struct command *command) {
    printf(".SS spherenet %s%s ", command->name, command->options ? " [OPTION ...]" : "");
    for (const char *c = command->operands; *c; c++)
        printf(*c == '|' ? "|\\:" : "%c", *c); /* where the line may be broken */
    printf("\n");
    man_text(command->summary);
    if (command->details) {
        printf(".PP\n");
        man_text(command->details);
    }
    for (const struct option *o = command->options; o && o->name; o++) {
        char tag[64];
        snprintf(tag, sizeof tag, "--%s", o->name);
        item(tag, o->value, o->help);
    }
}

static const struct {
    const char *tag, *help;
} statuses[] =
    {
        {"0", "done"},
        {"1", "failed while running"},
        {"2", "wrong command line or spec; nothing was started"},
        {"128 + N", "ended by signal N, after a checkpoint; `train` prints the command that goes on"},
},
  variables[] =
      {
          {"OPENBLAS_CORETYPE", "the kernels of OpenBLAS, unless train.openblas_core names others"},
          {"OMP_NUM_THREADS, OMP_THREAD_LIMIT", "how many threads, where train.threads is 0; and at most how many"},
          {"GOMP_SPINCOUNT, OMP_WAIT_POLICY", "how idle threads wait; short unless one of them is set"},
},
  files[] = {
      /* `make install` puts its own PREFIX for /usr/local. */
      {"/usr/local/share/spherenet/configs", "specs to begin with: copy one, or train it where it is"},
      {"runs/NAME", "what a run leaves: `spec.yaml` with every key, `train.csv`, `eval.csv`, `run.log`, `checkpoints`"},
      {"data", "datasets, unless data.path names another place"},
};

#define PRINT_ITEMS(ITEMS)                                                                                             \
    for (size_t i = 0; i < sizeof(ITEMS) / sizeof *(ITEMS); i++)                                                       \
    item((ITEMS)[i].tag, NULL, (ITEMS)[i].help)

void man_program(void) {
    begin("SPHERENET", 1, "spherenet", "train deep hyperspherical networks from YAML specs");
    printf(".SH SYNOPSIS\n.B spherenet\nCOMMAND [OPTION ...] [OPERAND ...]\n.PP\n.B spherenet \\-\\-version\n"
           ".SH DESCRIPTION\n");
    man_text(
        "A spec names data, network, loss and optimizer; spherenet-spec(5) explains its keys. `spherenet train` trains "
        "the network on the CPU and leaves curves as CSV and checkpoints as gzipped safetensors.");
    printf(".SH COMMANDS\n");
    for (const struct command *const *c = commands; *c; c++)
        print_command(*c);
    printf(".SH EXIT STATUS\n");
    PRINT_ITEMS(statuses);
    printf(".SH ENVIRONMENT\n");
    PRINT_ITEMS(variables);
    printf(".SH FILES\n");
    PRINT_ITEMS(files);
    printf(".SH EXAMPLE\n.nf\ncp /usr/local/share/spherenet/configs/quickstart.yaml mine.yaml\n"
           "spherenet train mine.yaml \\-\\-set network.operator.angular=linear\n"
           "spherenet eval runs/quickstart\n.fi\n"
           ".SH SEE ALSO\n.BR spherenet\\-spec (5),\n.BR spherenet\\-get\\-data (1),\n"
           ".BR spherenet\\-plot\\-curves (1),\n"
           ".BR spherenet\\-plot\\-features (1)\n");
}

/* --- Specs ------------------------------------------------------------------------------------------------------- */

void man_spec(const char *introduction) {
    begin("SPHERENET-SPEC", 5, "spherenet\\-spec", "what spherenet trains, as YAML");
    printf(".SH DESCRIPTION\n");
    man_text(introduction);
    printf(".SH KEYS\n");
}

void man_spec_end(void) {
    printf(".SH SEE ALSO\n.BR spherenet (1)\n");
}

void man_heading(const char *heading, const char *help) {
    printf(".SS %s\n", heading);
    man_text(help);
}

void man_key(const char *key, const char *help, const char *value) {
    item(key, NULL, help);
    printf(".br\n");
    man_text(value);
}
