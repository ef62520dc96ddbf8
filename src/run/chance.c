#include "run/chance.h"

bool chance_add(struct chance *chance, double accuracy, int classes, int64_t iteration) {
    chance->accuracy += accuracy;
    if (++chance->iterations < CHANCE_WINDOW)
        return false;
    double mean = chance->accuracy / chance->iterations;
    bool tell = !chance->told && iteration > CHANCE_WINDOW && mean <= 1.5 / classes;
    *chance = (struct chance){.told = chance->told || tell};
    return tell;
}
