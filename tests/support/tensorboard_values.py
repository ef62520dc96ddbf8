#!/usr/bin/env python3
"""Whether TensorBoard's own reader finds in RUN/tensorboard what the run's curves hold.

usage: tensorboard_values.py RUN

Prints how many values were compared. Ends with status 1 where one differs from the table's as a float.
"""
import csv
import math
import pathlib
import sys

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def expected_scalars(run):
    for name in ("train.csv", "eval.csv"):
        with open(run / name, newline="") as file:
            for row in csv.DictReader(file):
                step, group = int(row.pop("iteration")), row.pop("split", "train")
                for column, value in row.items():
                    yield f"{group}/{column}", step, numpy.float32(value)


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found = {(tag, event.step): event for tag in events.Tags()["scalars"] for event in events.Scalars(tag)}
    count = 0
    for tag, step, value in expected_scalars(run):
        event = found.pop((tag, step))
        if event.value != value and not (math.isnan(event.value) and math.isnan(value)):
            sys.exit(f"{tag} at {step}: {event.value}, expected {value}")
        if not 1.6e9 < event.wall_time < 1e11:
            sys.exit(f"{tag} at {step}: wall time {event.wall_time}")
        count += 1
    if found:
        sys.exit(f"not in the tables: {sorted(found)[:5]}")
    print(count)


main()
