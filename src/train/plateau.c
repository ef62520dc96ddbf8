#include "train/plateau.h"

bool plateau_add(struct plateau *chance, double accuracy, int classes, int64_t iteration) {
    chance->accuracy += accuracy;
    if (++chance->iterations < PLATEAU_WINDOW)
        return false;
    double mean = chance->accuracy / chance->iterations;
    bool tell = !chance->told && iteration > PLATEAU_WINDOW && mean <= 1.5 / classes;
    *chance = (struct plateau){.told = chance->told || tell};
    return tell;
}
