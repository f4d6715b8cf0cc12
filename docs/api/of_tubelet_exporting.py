"""Every name of `tubelet.exporting` in use."""

from tubelet import exporting
from tubelet.paths import packaged_model

clip = packaged_model("demo") / "clip.mp4"

exported: exporting.Parity = exporting.export("demo", "exported", data=[clip])
print(exported.ok, exported.difference, exported.same_top1, exported.clips, exported.provider)

found: exporting.ExportCheck = exporting.check_export("exported")  # hashes, labels, logits of the clips inside
print(found.ok, found.problems)
