#!/usr/bin/env python3
"""Makes the pictures that tests/test_picture.c decodes, expected/ with what Pillow decodes them to, and resized/ with what
Pillow's Image.resize makes of resized.png. Needs Pillow (before 13, which resizes some in another order) and NumPy.

usage: tests/pictures/make.py
"""

import io
import struct
import zlib
from pathlib import Path

import numpy
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 26, 17
y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
RGB = numpy.stack([x * 9, y * 14, 255 - 6 * x - 5 * y], -1).astype(numpy.uint8)
RGB[2:6, 3:11] = 240, 20, 30
GREY = RGB[:, :, 1]
ALPHA = (x * 255 // (WIDTH - 1)).astype(numpy.uint8)


def expect(name, rgb=None):
    """expected/NAME.png: what Pillow makes of the file, turned, or the pixels given."""
    if rgb is None:
        rgb = numpy.asarray(ImageOps.exif_transpose(Image.open(HERE / name)).convert("RGB"))
    Image.fromarray(rgb).save(HERE / "expected" / f"{name}.png", optimize=True)


def write(name, contents, rgb=None):
    (HERE / name).write_bytes(contents)
    expect(name, rgb)


# --- JPEG ---------------------------------------------------------------------------------------------------------------


def jpeg(pixels, mode=None, **options):
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, "JPEG", **{"quality": 80, **options})
    return file.getvalue()


def after_start(contents, marker, payload):
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload
    return contents[:2] + segment + contents[2:]


def exif(orientation, order):
    entry = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return struct.pack(order + "HIH", 42, 8, 1) + entry + struct.pack(order + "I", 0)


def make_jpegs():
    write("grey.jpg", jpeg(GREY))
    for name, subsampling in ("444", 0), ("422", 1), ("420", 2):
        write(f"ycbcr_{name}.jpg", jpeg(RGB, subsampling=subsampling))
    write("rgb.jpg", jpeg(RGB, keep_rgb=True))
    write("cmyk.jpg", jpeg(RGB, "CMYK"))
    adobe = b"\xff\xee\x00\x0eAdobe"
    before, after = jpeg(RGB, "CMYK").split(adobe)
    write("ycck.jpg", before + adobe + after[:6] + b"\2" + after[7:])  # the transformation: YCCK
    write("progressive.jpg", jpeg(RGB, progressive=True))
    write("progressive_grey.jpg", jpeg(GREY, progressive=True))
    write("restarts.jpg", jpeg(RGB, restart_marker_blocks=1))
    write("bytes_between.jpg", jpeg(RGB)[:-2] + bytes(9) + b"\xff\xd9")
    for orientation in range(1, 9):
        for name, order, mark in ("little", "<", b"II"), ("big", ">", b"MM"):
            block = b"Exif\0\0" + mark + exif(orientation, order)
            write(f"turned_{orientation}_{name}_endian.jpg", after_start(jpeg(RGB[:9], quality=50), 0xE1, block))
    beyond = b"Exif\0\0II" + struct.pack("<HI", 42, 0xFFFFFFF0)
    write("exif_beyond.jpg", after_start(jpeg(RGB), 0xE1, beyond), numpy.asarray(Image.open(io.BytesIO(jpeg(RGB)))))


# --- PNG ----------------------------------------------------------------------------------------------------------------


def chunk(kind, contents):
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def rows_of(samples, depth):
    """Each row of integers as PNG has it, unfiltered."""
    rows = b""
    for row in samples.reshape(len(samples), -1) if samples.size else ():
        bits = "".join(f"{int(value):0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return rows


ADAM7 = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)


def png(samples, depth, kind, *before, after=(), interlaced=False):
    height, width = samples.shape[:2]
    data = rows_of(samples, depth)
    if interlaced:
        data = b"".join(rows_of(samples[top::down, left::across], depth) for left, top, across, down in ADAM7)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    chunks = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(data, 9)), *after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def in_three(grey):
    return numpy.repeat(grey[:, :, None], 3, -1).astype(numpy.uint8)


def make_pngs():
    grey, rgb, palette, grey_alpha, rgba = 0, 2, 3, 4, 6
    for depth in 1, 2, 4, 8:
        write(f"grey_{depth}.png", png(GREY >> (8 - depth), depth, grey))
        write(f"palette_{depth}.png", png(GREY >> (8 - depth), depth, palette, colours(depth)))
    wide = GREY.astype(int) * 256 + 200
    write("grey_16.png", png(wide, 16, grey), in_three(GREY))  # Pillow would make all of them white
    write("rgb_8.png", png(RGB, 8, rgb))
    write("rgb_16.png", png(RGB.astype(int) * 256 + 200, 16, rgb))
    write("grey_alpha.png", png(numpy.dstack([GREY, ALPHA]), 8, grey_alpha))
    write("grey_alpha_16.png", png(numpy.dstack([GREY, ALPHA]).astype(int) * 256 + 99, 16, grey_alpha), in_three(GREY))
    write("rgb_alpha.png", png(numpy.dstack([RGB, ALPHA]), 8, rgba))
    write("rgb_alpha_16.png", png(numpy.dstack([RGB, ALPHA]).astype(int) * 256 + 99, 16, rgba))
    write("grey_transparent.png", png(GREY, 8, grey, chunk(b"tRNS", struct.pack(">H", int(GREY[3, 4])))))
    write("grey_2_transparent.png", png(GREY >> 6, 2, grey, chunk(b"tRNS", b"\0\1")))
    write("rgb_transparent.png", png(RGB, 8, rgb, chunk(b"tRNS", struct.pack(">HHH", 240, 20, 30))))
    write("palette_transparent.png", png(GREY >> 4, 4, palette, colours(4), chunk(b"tRNS", bytes(range(0, 160, 20)))))
    write("palette_short.png", png(GREY >> 4 & 7, 4, palette, chunk(b"PLTE", bytes(range(0, 240, 10)))))
    write("interlaced.png", png(RGB, 8, rgb, interlaced=True))
    write("interlaced_palette.png", png(GREY >> 6, 2, palette, colours(2), interlaced=True))
    write("interlaced_grey_16.png", png(wide, 16, grey, interlaced=True), in_three(GREY))
    write("interlaced_narrow.png", png(RGB[:3, :2], 8, rgb, interlaced=True))
    write("gamma.png", png(RGB, 8, rgb, chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"bKGD", bytes(6))))
    turned = chunk(b"eXIf", b"MM" + exif(6, ">"))
    write("turned_before.png", png(RGB, 8, rgb, turned), numpy.ascontiguousarray(numpy.rot90(RGB, -1)))
    write("turned_after.png", png(RGB, 8, rgb, after=[turned]), numpy.ascontiguousarray(numpy.rot90(RGB, -1)))
    write("png_inside.jpg", png(RGB, 8, rgb))
    write("one_pixel.png", png(RGB[:1, :1], 8, rgb))


def colours(depth):
    levels = numpy.arange(2**depth) * 255 // (2**depth - 1)
    return chunk(b"PLTE", numpy.stack([levels, 255 - levels, levels // 2], -1).astype(numpy.uint8).tobytes())


# --- Resizing -----------------------------------------------------------------------------------------------------------

RESIZED = (  # width, height; the box: left, top, right, bottom
    (26, 17, (0, 0, 26, 17)),
    (13, 8, (0, 0, 26, 17)),
    (5, 3, (0, 0, 26, 17)),
    (1, 1, (0, 0, 26, 17)),
    (61, 40, (0, 0, 26, 17)),
    (40, 20, (3.25, 2.5, 9.75, 6.125)),
    (11, 7, (0.5, 1.25, 25.25, 16.875)),
    (9, 30, (20, 0, 26, 17)),
)


def make_resized():
    pixels = RGB.copy()
    pixels[::3, 1::4] = 255 - pixels[::3, 1::4]
    for name, source in ("rgb", pixels), ("grey", pixels[:, :, 1]):
        image = Image.fromarray(source)
        image.save(HERE / "resized" / f"{name}.png", optimize=True)
        for filter_name in "bilinear", "bicubic":
            for width, height, box in RESIZED:
                out = image.resize((width, height), Image.Resampling[filter_name.upper()], box=box)
                edges = "_".join(f"{edge:g}" for edge in box)
                out.save(HERE / "resized" / f"{name}_{filter_name}_{width}x{height}_{edges}.png", optimize=True)


for old in *HERE.glob("*.jpg"), *HERE.glob("*.png"), *HERE.glob("*/*.png"):
    old.unlink()
(HERE / "expected").mkdir(exist_ok=True)
(HERE / "resized").mkdir(exist_ok=True)
make_jpegs()
make_pngs()
make_resized()
