/* Manual pages, printed as roff. */
#ifndef SPHERENET_CLI_MAN_H
#define SPHERENET_CLI_MAN_H

/* The page of the program and its commands, spherenet(1). */
void man_program(void);

/* The pieces of the page of specs, spherenet-spec(5), in the order in which `help spec` prints them. What stands in
 * backquotes in a text becomes bold. */
void man_spec(const char *introduction);
void man_spec_end(void);
void man_heading(const char *heading, const char *help);

/* value: what it can be, and its default. */
void man_key(const char *key, const char *help, const char *value);

void man_text(const char *text);

#endif
