"""Every name of `tubelet.pretraining` in use."""

import tubelet
from tubelet import pretraining
from tubelet.config import MaskingConfig
from tubelet.data import ClipDataset, make_loader, read_table
from tubelet.demo import write_clips

clips = write_clips("clips", {"train": 1})

model = tubelet.load("demo")

learned: pretraining.PretrainResult = pretraining.pretrain(clips, "pretrained", init="demo", epochs=1, workers=0)
print(learned.folder, learned.loss, learned.picture)  # tubelet.train(..., init="pretrained") goes on from it

masked = pretraining.MaskedTubelets(model, MaskingConfig(mask_ratio=0.75, time_mask_ratio=0.25))
batch = next(iter(make_loader(ClipDataset(read_table(clips), model.preprocessing), batch_size=4, workers=0)))
print(masked(batch.video))  # the loss of each clip

seen: pretraining.Visible = masked.draw(len(batch.video))
print(seen.times.shape, seen.positions.shape)

rebuilt: pretraining.Reconstruction = masked.reconstruct(batch.video, seen)
print(rebuilt.values.shape, rebuilt.losses())

picture = pretraining.reconstructions(masked, batch)  # uint8 [3, H, W]
print(picture.shape)
