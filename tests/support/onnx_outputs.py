#!/usr/bin/env python3
"""Compares what onnxruntime makes of networks with what the program made of them.

usage: onnx_outputs.py FOLDER ...

A folder holds pictures.onnx, bare.onnx and, of N images, sizes.txt (N height width channels classes width of a
feature), pixels.u8, inputs.f32, logits.f64, probabilities.f64 and features.f64, as test_onnx_runtime.c writes them.
Prints for each folder the largest difference over the images of each output: |found - expected| / |expected| of the
image's vector; of probabilities |found - expected|, divided by the length of the logits where that is above 1, since they
change by no more than the logits do. Ends with status 1 where one is above 1e-5, or a file is not to the liking of ONNX's
checker.
"""
import pathlib
import sys

import numpy
import onnx
import onnxruntime

LIMIT = 1e-5
NAMES = ["logits", "probabilities", "features"]
FEW = 7


def outputs(path, images):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert session.get_outputs()[0].name == "probabilities"
    found = dict(zip(names, session.run(None, {"images": images})))
    few = dict(zip(names, session.run(None, {"images": images[:FEW]})))
    for name in names:  # the number of images is free
        assert few[name].shape == (FEW, *found[name].shape[1:])
        assert numpy.allclose(few[name], found[name][:FEW], rtol=1e-3, atol=1e-4), name
    return found


def difference(found, expected, lengths):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    distances = numpy.linalg.norm(found.astype(float) - expected, axis=1)
    return float((distances / numpy.where(lengths > 0, lengths, 1)).max())


def compare(folder):
    n, height, width, channels, classes, features = map(int, (folder / "sizes.txt").read_text().split())
    pixels = numpy.fromfile(folder / "pixels.u8", numpy.uint8).reshape(n, height, width, channels)
    inputs = numpy.fromfile(folder / "inputs.f32", numpy.float32).reshape(n, height, width, channels)
    inputs = numpy.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    widths = {"logits": classes, "probabilities": classes, "features": features}
    expected = {name: numpy.fromfile(folder / f"{name}.f64").reshape(n, width) for name, width in widths.items()}
    lengths = {name: numpy.linalg.norm(values, axis=1) for name, values in expected.items()}
    lengths["probabilities"] = numpy.maximum(1, lengths["logits"])
    differences = dict.fromkeys(NAMES, 0.0)
    for path, images in (("pictures.onnx", pixels), ("bare.onnx", inputs)):
        found = outputs(folder / path, images)
        assert ("features" in found) == (features > 0)
        for name in found:
            differences[name] = max(differences[name], difference(found[name], expected[name], lengths[name]))
    print(f"{folder.name:60}" + "".join(f"  {name} {differences[name]:.1e}" for name in NAMES))
    return max(differences.values()) <= LIMIT


def main():
    sys.exit(not all([compare(pathlib.Path(folder)) for folder in sys.argv[1:]]))


main()
