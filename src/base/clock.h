/* Time that only moves forward. */
#ifndef SPHERENET_BASE_CLOCK_H
#define SPHERENET_BASE_CLOCK_H

/* Seconds since some fixed moment. */
double clock_seconds(void);

/* Seconds since *last, a moment of clock_seconds, which becomes now. */
double clock_lap(double *last);

#endif
