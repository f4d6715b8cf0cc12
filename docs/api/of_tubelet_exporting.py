"""Every name of `tubelet.exporting` in use."""

from tubelet import exporting
from tubelet.paths import packaged_model

clip = packaged_model("demo") / "clip.mp4"

gate: exporting.Parity = exporting.export("demo", "exported", data=[clip])
print(gate.ok, gate.difference, gate.same_top1, gate.clips, gate.provider)

found: exporting.ExportCheck = exporting.check_export("exported")  # hashes, labels, logits of the clips inside
print(found.ok, found.problems)
