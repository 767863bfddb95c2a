"""Tests that decoding an image returns the stored pixels or raises an error that states the reason."""

import io

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.files.pixels import conversion, decode_image, stack_images

COLOR = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
GRAY = COLOR[..., 0]


def encode(pixels: np.ndarray | Image.Image, kind: str = "PNG", **how) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **how)
    return buffer.getvalue()


def test_png_pixels_are_exact():
    """Decoding a PNG returns its exact pixels.

    A color image has three channels, and a gray image has one.
    """
    np.testing.assert_array_equal(decode_image(encode(COLOR)), COLOR)
    np.testing.assert_array_equal(decode_image(encode(GRAY)), GRAY[..., None])


def test_a_jpeg_is_close_to_the_original():
    """The decoded pixels of a smooth JPEG differ by less than 8 levels from the original."""
    smooth = np.linspace(0, 255, 32 * 32, dtype=np.uint8).reshape(32, 32)
    assert abs(decode_image(encode(smooth, "JPEG", quality=95))[..., 0].astype(int) - smooth).max() < 8


def test_palette_opaque_alpha_and_bilevel_images_are_read():
    """Palette images, bilevel images and images with an opaque alpha channel can be read.

    A palette image becomes color, the alpha channel is dropped, and a bilevel image becomes gray with levels 0 and 255.
    """
    palette = Image.fromarray(COLOR).quantize(16)
    np.testing.assert_array_equal(decode_image(encode(palette)), np.asarray(palette.convert("RGB")))
    opaque = np.dstack([COLOR, np.full((6, 5), 255, dtype=np.uint8)])
    np.testing.assert_array_equal(decode_image(encode(opaque)), COLOR)
    np.testing.assert_array_equal(decode_image(encode(opaque[..., [0, 3]])), GRAY[..., None])
    bilevel = decode_image(encode(Image.fromarray(GRAY > 127)))
    np.testing.assert_array_equal(bilevel[..., 0], np.where(GRAY > 127, 255, 0))


def test_a_rotated_photograph_is_turned_upright():
    """The EXIF orientation is applied, as in image viewers."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encode(COLOR, exif=exif.tobytes())).shape == (5, 6, 3)


def test_channels_convert_between_gray_and_color():
    """The option `channels` converts images between gray and color.

    The value 3 repeats gray values, and the value 1 converts color to luminance.
    """
    np.testing.assert_array_equal(decode_image(encode(GRAY), channels=3), np.repeat(GRAY[..., None], 3, axis=2))
    luminance = np.asarray(Image.fromarray(COLOR).convert("L"))
    np.testing.assert_array_equal(decode_image(encode(COLOR), channels=1)[..., 0], luminance)


def test_size_crops_the_center_square_and_resizes():
    """The option `size` keeps only the center square of an image.

    The image consists of three flat thirds, of which only the center one is kept.
    """
    wide = np.repeat(np.array([[0, 128, 255]], dtype=np.uint8), 10, axis=1).repeat(10, axis=0)
    np.testing.assert_array_equal(decode_image(encode(wide), size=4), np.full((4, 4, 1), 128))


def _png(mode: str) -> bytes:
    return encode(Image.new(mode, (4, 4)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "PNG or JPEG"),
        (b"not an image at all", "PNG or JPEG"),
        (encode(COLOR, "GIF"), "PNG or JPEG"),
        (encode(COLOR, "BMP"), "PNG or JPEG"),
        (encode(np.full((4, 4, 4), 100, dtype=np.uint8)), "transparent"),
        (_png("I;16"), "8 bits"),
    ],
)
def test_an_unsupported_image_is_refused(data: bytes, message: str):
    """The error for an unsupported image states the reason.

    Unsupported are empty files, other file types, transparent images and 16-bit images.
    """
    with pytest.raises(BadSignals, match=message):
        decode_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_refused_or_harmless(kind: str):
    """A truncated file is rejected unless it still contains all pixels."""
    data = encode(np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8), kind)
    whole = decode_image(data)
    refused = 0
    for length in range(0, len(data), 7):
        try:
            np.testing.assert_array_equal(decode_image(data[:length]), whole)
        except BadSignals:
            refused += 1
    assert refused > len(data) / 7 * 0.9


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_flipped_bits_never_cause_a_traceback(kind: str):
    """Decoding a file with a flipped bit either succeeds or raises BadSignals with a one-line message."""
    data = encode(np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8), kind)
    rng = np.random.default_rng(2)
    messages = []
    for _ in range(200):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            decode_image(bytes(broken))
        except BadSignals as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_a_stack_keeps_the_order():
    """Images are stacked in the given order."""
    stack = stack_images([("a", encode(GRAY)), ("b", encode(255 - GRAY))], where="here")
    np.testing.assert_array_equal(stack[..., 0], [GRAY, 255 - GRAY])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (encode(COLOR[:4]), "here: b .*5x4 .*a .*5x6; .*size=N"),
        (encode(GRAY), "here: b .*gray .*a .*color; .*channels=1"),
        (b"x", "here: b .*PNG or JPEG"),
    ],
)
def test_a_stack_names_the_image_that_does_not_match(other: bytes, message: str):
    """If an image does not match the others in its stack, the error names the image and the fix.

    The image is invalid, or its size or number of channels differs.
    """
    with pytest.raises(BadSignals, match=message):
        stack_images([("a", encode(COLOR)), ("b", other)], where="here")


def test_conversion_makes_a_mixed_stack_uniform():
    """The options `size` and `channels` make it possible to stack images that differ."""
    mixed = [("a", encode(COLOR)), ("b", encode(GRAY[:4]))]
    assert stack_images(mixed, where="here", size=4, channels=3).shape == (2, 4, 4, 3)


def test_no_images_are_refused():
    """An empty stack is rejected."""
    with pytest.raises(BadSignals, match=r"here: .*no images"):
        stack_images([], where="here")


@pytest.mark.parametrize("options", [{"size": 1}, {"size": "32"}, {"size": True}, {"channels": 2}, {"channels": 4}])
def test_an_option_out_of_range_is_refused(options: dict):
    """The error for an invalid size or number of channels states the allowed values."""
    with pytest.raises(BadConfig, match=r"2 to 4096|1 .*or 3 "):
        conversion(SignalsConfig(name="folder", options=options))
