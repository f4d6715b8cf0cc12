"""Show which places and moments decided, and whether to believe it."""

import tubelet
from tubelet.paths import packaged_model

found = tubelet.explain("demo", packaged_model("demo") / "clip.mp4", method="balanced")
print(found.target, f"{found.logit:.2f}")
print("map", tuple(found.map.shape), "curve", [f"{value:.2f}" for value in found.curve.tolist()])
print("parts that belong to no token:", found.unattributed)

files = found.save("explained", overwrite=True)  # a film, a sheet of frames, a page, the numbers
print(files.page)
