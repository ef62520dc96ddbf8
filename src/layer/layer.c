#include "layer/layer.h"

#include <stdarg.h>
#include <stdio.h>

bool layer_error(struct planner *planner, const struct layer *layer, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    diagnose(planner->diags, layer->choice.source, layer->choice.line, layer->choice.path, "%s %.80s: %s",
             layer->type->kind.name, layer->name, message);
    return false;
}
