/* A value of a YAML file as the command line takes it. */
#ifndef SPHERENET_SWEEP_SETTING_H
#define SPHERENET_SWEEP_SETTING_H

#include "spec/node.h"

/* "KEY=VALUE" of one line, which `train --set` reads as the node would be read in a spec; in the arena. */
const char *setting_text(struct arena *arena, const char *key, const struct node *value);

#endif
