"""`README.md` of an exported model."""

from __future__ import annotations

from tubelet.exported import Contract
from tubelet.exported.parts import SPACE, TIME, part_file
from tubelet.exported.sessions import MODEL_FILES
from tubelet.exporting.gate import TOLERANCE, Parity

NEEDS = {"onnx": "onnxruntime", "openvino": "openvino", "pt2": "torch", "executorch": "executorch torch"}


def readme(contract: Contract, parity: Parity) -> str:
    """What is in the folder, what goes in, what comes out, and how it was proven."""
    several = contract.model_config().multi_label
    heads = "\n".join(
        f"- `{output['name']}`: float32 {_shape(output['shape'])}, logits; "
        + ("their sigmoids are probabilities" if output["name"] in several else "softmax makes probabilities of them")
        for output in contract.outputs
    )
    inputs = "\n".join(f"- `{each['name']}`: {each['type']} {_shape(each['shape'])}" for each in contract.inputs)
    what = (
        "RGB pixels from 0 to 255. Scaling, normalisation and the order of axes are inside the model."
        if contract.takes_pixels
        else "pixels, normalised as `preprocessing` in `tubelet.json` says: (pixel / 255 - mean) / std."
    )
    versions = ", ".join(f"{name} {version}" for name, version in contract.made_with.items())
    allowed = (
        f"at most {TOLERANCE:.0e} is allowed"
        if parity.precision == "float32"
        else "matrix products are in int8; 99 % of the clips need the same best class"
    )
    two = ""
    if contract.parts:
        space, time = (part_file(contract.format, part) for part in (SPACE, TIME))
        two = (
            f"| `{space}`, `{time}` | the model in two parts: from tubelets to vectors, and from vectors to logits |\n"
        )
    need = NEEDS[contract.format]
    return f"""# A video classifier, exported by tubelet {contract.tubelet}

| file | |
|---|---|
| `{MODEL_FILES[contract.format]}` | the model ({contract.format}) |
{two}| `tubelet.json` | labels, preprocessing, inputs and outputs, versions, SHA-256 of each file, proof |
| `sample.npz` | real clips, and the logits that the model has to give for them |
| `run.py` | predicts videos; needs numpy, av and {need.replace(" ", " and ")} |

```
pip install numpy av {need}
python run.py VIDEO
python run.py VIDEO --json
```

## Input

{inputs}

{what} `frame_mask`, where it is an input, is True at real frames; the others repeat the last real one. How frames are
chosen, resized and cropped is under `preprocessing` in `tubelet.json`; `run.py` does it.

## Output

{heads}

Class names are under `labels` in `tubelet.json`, in the order of the logits, and inside the model file. Thresholds that
were fitted are under `operating_points`.

## Proof

On {parity.clips} real clips the largest difference from the logits of the plain model was {parity.difference:.1e} of
the largest logit ({allowed}), and {parity.same_top1} had the same best class. Computed by
{parity.provider}; made with {versions}. To repeat it, with tubelet: `tubelet export --check FOLDER`.
"""


def _shape(shape: list[object]) -> str:
    return f"[{', '.join(map(str, shape))}]"
