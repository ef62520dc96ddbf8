#!/usr/bin/env python3
"""Writes the files of this folder: a small network that PyTorch trained, as its users save such networks.

    python3 tests/golden/from_torch/make.py        needs torch and safetensors; the same bytes each time on one machine

weights.safetensors: save_file of the state_dict: the counter of batch normalisation is I64 [].
half.safetensors.gz: the same network as another program might keep it: under other names, in F16, BF16 and F64, without
    the counter, beside tensors of types that no network is made of.
Both: check.images [5, 2, 6, 6] and check.scores [5, 3], what PyTorch makes of these images with the weights of the file.
"""
import collections
import gzip
import pathlib

import torch
from safetensors.torch import save, save_file

FOLDER = pathlib.Path(__file__).parent
NAMES = {"a.": "module.stem.conv.", "b.": "module.stem.norm.", "c.": "module.head."}
HALVES = {"a.weight": torch.float16, "b.weight": torch.bfloat16, "b.bias": torch.float16, "b.running_mean": torch.float64,
          "b.running_var": torch.float64, "c.weight": torch.bfloat16, "c.bias": torch.float16}


def network():
    return torch.nn.Sequential(collections.OrderedDict(
        a=torch.nn.Conv2d(2, 4, 3, padding=1, bias=False),
        b=torch.nn.BatchNorm2d(4, eps=1e-3),
        relu=torch.nn.ReLU(),
        flatten=torch.nn.Flatten(),
        c=torch.nn.Linear(144, 3)))


def trained():
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(7):
        images, labels = torch.randn(16, 2, 6, 6), torch.randint(3, (16,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.state_dict()


def checked(state):
    net = network()
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    images = torch.randn(5, 2, 6, 6)
    with torch.no_grad():
        return {"check.images": images, "check.scores": net.eval()(images)}


def renamed(name):
    return NAMES[name[:2]] + name[2:]


def main():
    torch.manual_seed(1)
    state = trained()
    save_file(state | checked(state), FOLDER / "weights.safetensors", metadata={"format": "pt"})
    state = {name: state[name].to(dtype) for name, dtype in HALVES.items()}
    others = {"module.position_ids": torch.arange(4, dtype=torch.int32)[None], "module.mask": torch.ones(3, dtype=torch.bool),
              "module.scale": torch.ones(2).to(torch.float8_e4m3fn), "module.phase": torch.ones(1, dtype=torch.complex64)}
    half = {renamed(name): tensor for name, tensor in state.items()} | others | checked(state)
    (FOLDER / "half.safetensors.gz").write_bytes(gzip.compress(save(half), mtime=0))


main()
