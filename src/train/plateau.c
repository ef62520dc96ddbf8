#include "train/plateau.h"

bool plateau_add(struct plateau *plateau, double accuracy, int classes, int64_t iteration) {
    plateau->accuracy += accuracy;
    if (++plateau->iterations < PLATEAU_WINDOW)
        return false;
    double mean = plateau->accuracy / plateau->iterations;
    bool tell = !plateau->told && iteration > PLATEAU_WINDOW && mean <= 1.5 / classes;
    *plateau = (struct plateau){.told = plateau->told || tell};
    return tell;
}
