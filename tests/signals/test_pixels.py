"""Laws of decoding: the pixels that were stored, or a refusal that names the image."""

import io

import numpy as np
import pytest
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.pixels import conversion, decode_image, stack_images

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


def encode(pixels: np.ndarray | Image.Image, kind: str = "PNG", **how) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **how)
    return buffer.getvalue()


def test_png_pixels_come_back_exactly():
    """Stored colour is three channels, stored grey one, bit for bit."""
    np.testing.assert_array_equal(decode_image(encode(COLOUR)), COLOUR)
    np.testing.assert_array_equal(decode_image(encode(GREY)), GREY[..., None])


def test_a_jpeg_is_what_pillow_shows():
    """JPEG decodes as Pillow does, close to what was stored."""
    smooth = np.linspace(0, 255, 32 * 32, dtype=np.uint8).reshape(32, 32)
    assert abs(decode_image(encode(smooth, "JPEG", quality=95))[..., 0].astype(int) - smooth).max() < 8


def test_palette_opaque_alpha_and_bilevel_images_are_read():
    """A palette image is colour, an opaque alpha channel is dropped, a bilevel image is grey 0 or 255."""
    palette = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(decode_image(encode(palette)), np.asarray(palette.convert("RGB")))
    opaque = np.dstack([COLOUR, np.full((6, 5), 255, dtype=np.uint8)])
    np.testing.assert_array_equal(decode_image(encode(opaque)), COLOUR)
    np.testing.assert_array_equal(decode_image(encode(opaque[..., [0, 3]])), GREY[..., None])
    bilevel = decode_image(encode(Image.fromarray(GREY > 127)))
    np.testing.assert_array_equal(bilevel[..., 0], np.where(GREY > 127, 255, 0))


def test_a_photograph_on_its_side_is_stood_upright():
    """The EXIF orientation is applied, as every viewer does."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encode(COLOUR, exif=exif.tobytes())).shape == (5, 6, 3)


def test_channels_convert_between_grey_and_colour():
    """channels=3 repeats grey, channels=1 makes luminance of colour."""
    np.testing.assert_array_equal(decode_image(encode(GREY), channels=3), np.repeat(GREY[..., None], 3, axis=2))
    luminance = np.asarray(Image.fromarray(COLOUR).convert("L"))
    np.testing.assert_array_equal(decode_image(encode(COLOUR), channels=1)[..., 0], luminance)


def test_size_crops_the_centre_square_and_resizes():
    """A wide image keeps its centre: flat left, middle and right thirds leave the middle."""
    wide = np.repeat(np.array([[0, 128, 255]], dtype=np.uint8), 10, axis=1).repeat(10, axis=0)
    np.testing.assert_array_equal(decode_image(encode(wide), size=4), np.full((4, 4, 1), 128))


def _png(mode: str) -> bytes:
    return encode(Image.new(mode, (4, 4)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no readable PNG or JPEG"),
        (b"not an image at all", "is no readable PNG or JPEG"),
        (encode(COLOUR, "GIF"), "is no readable PNG or JPEG"),
        (encode(COLOUR, "BMP"), "is no readable PNG or JPEG"),
        (encode(np.full((4, 4, 4), 100, dtype=np.uint8)), "partly transparent; flatten it"),
        (_png("I;16"), "more than 8 bits a channel"),
    ],
)
def test_what_is_no_plain_image_is_refused(data: bytes, message: str):
    """Empty, foreign, transparent or deep images are refused with the fix."""
    with pytest.raises(BadSignals, match=message):
        decode_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_refused_or_loses_nothing(kind: str):
    """A file cut anywhere is refused, unless all its pixels had come before the cut."""
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
def test_flipped_bits_never_end_in_a_traceback(kind: str):
    """A corrupted file decodes to something or is refused as BadSignals, never another error."""
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
    """Images stack in the order given."""
    stack = stack_images([("a", encode(GREY)), ("b", encode(255 - GREY))], where="here")
    np.testing.assert_array_equal(stack[..., 0], [GREY, 255 - GREY])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (encode(COLOUR[:4]), r"here: b is 5x4 but a is 5x6; resize it, or give option size=N"),
        (encode(GREY), "here: b is grey but a is colour; convert it, or give option channels=1"),
        (b"x", "here: b is no readable PNG or JPEG"),
    ],
)
def test_a_stack_names_the_image_that_does_not_fit(other: bytes, message: str):
    """An image of another size or kind, or no image, is named with the fix."""
    with pytest.raises(BadSignals, match=message):
        stack_images([("a", encode(COLOUR)), ("b", other)], where="here")


def test_conversion_makes_a_mixed_stack_agree():
    """size and channels turn mixed images into one stack."""
    mixed = [("a", encode(COLOUR)), ("b", encode(GREY[:4]))]
    assert stack_images(mixed, where="here", size=4, channels=3).shape == (2, 4, 4, 3)


def test_no_images_are_refused():
    """An empty stack is refused."""
    with pytest.raises(BadSignals, match="there are no images"):
        stack_images([], where="here")


@pytest.mark.parametrize("options", [{"size": 1}, {"size": "32"}, {"size": True}, {"channels": 2}, {"channels": 4}])
def test_an_option_out_of_range_is_refused(options: dict):
    """Sizes and channels outside what is allowed are refused with what is."""
    with pytest.raises(BadConfig, match=r"give (a whole number from 2 to 4096|1 for grey or 3 for colour)"):
        conversion(SignalsConfig(name="folder", options=options))
