"""Use the engine like a computer beside the camera: references once, then frame after frame. Loads no torch.

python examples/classify_a_frame.py bundle raw.tif white.tif dark.tif map.png
"""

import sys
from datetime import timedelta
from pathlib import Path

from gliomap.captures import read_frames
from gliomap.engine import Engine
from gliomap.preprocessing import preprocess
from gliomap.rendering import overlay_picture, save_png, synthetic_rgb

bundle, *frames, out = sys.argv[1:]
engine = Engine.open(bundle, max_reference_age=timedelta(hours=1))
raw, white, dark = read_frames([Path(frame) for frame in frames], engine.sensor)

references = engine.prepare(white.data, dark.data, taken_at=min(white.taken_at, dark.taken_at))
for _ in range(3):  # the first frame also loads the graph
    tissue = engine.classify_frame(raw.data, references, taken_at=raw.taken_at)
    print(", ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in tissue.timings.items()))

if tissue.blanked:
    print(f"no map: {tissue.blanked}")
for name, pixels in tissue.pixel_counts().items():
    print(f"{name}: {pixels or 'not found'}")

rgb = synthetic_rgb(preprocess(raw.data, references))
save_png(overlay_picture(tissue, rgb, by_confidence=True), Path(out))
print(f"{out}: research software, not a medical device")
