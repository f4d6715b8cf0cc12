"""Write a model for ONNX Runtime, proven on real clips, and run it."""

import tubelet
from tubelet.paths import packaged_model

proof = tubelet.export("demo", "exported", format="onnx", overwrite=True)
print(proof)

exported = tubelet.load("exported")  # accepted wherever a model is
print(tubelet.predict(exported, packaged_model("demo") / "clip.mp4").label)
print("without torch and tubelet: python exported/run.py VIDEO")
