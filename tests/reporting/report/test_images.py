"""Pictures of the page: which are shown, and how large they may be."""

from __future__ import annotations

import base64
import io

from ddbench.reporting.report import make_page
from tests.doubles.pages import record


def test_pictures_are_shown_where_the_cache_holds_images_and_missed_where_not(cache):
    import torch

    images = torch.arange(4 * 3 * 8 * 8, dtype=torch.uint8).reshape(4, 3, 8, 8)
    labels = torch.tensor([0, 0, 1, 1])
    weights = torch.full((4,), 0.5)
    card = {"cost": {"seconds": 1.0}}
    cache.store("recover", "images", {"images": images, "labels": labels, "weights": weights}, card)
    made = [record("wmdd", 3.0, 0, keys={"recover": ["images"]}, ipc=2),
            record("dm", 3.0, 0, keys={"recover": ["gone"]}, ipc=2)]  # fmt: skip
    page = make_page([(None, r) for r in made], cache)
    assert [picture.title for picture in page.pictures] == ["wmdd"]
    assert page.missing == ("1 row without a picture: their images are not in the cache.",)
    (picture,) = page.pictures
    from PIL import Image

    shown = Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2])))
    # Two rows of two images, four times as large, with two white pixels around each.
    assert shown.size == (2 * 34 + 2, 2 * 34 + 2) == (picture.width, picture.height)
    red, green, blue = images[2, :, 0, 0].tolist()
    assert shown.getpixel((2, 36)) == (red, green, blue)


def test_pictures_keep_to_their_budget():
    import torch
    from PIL import Image

    from ddbench.reporting.report.images import PICTURE_BYTES, _encode

    noise = torch.randint(256, (660, 660, 3), generator=torch.Generator().manual_seed(0))
    source = _encode(Image.fromarray(noise.to(torch.uint8).numpy()))
    assert source.startswith("data:image/webp")
    assert len(base64.b64decode(source.partition(",")[2])) < 2.5 * PICTURE_BYTES
