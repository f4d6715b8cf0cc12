"""Every name of `tubelet.config` in use."""

import typing

from tubelet import config

tiny = config.ModelConfig(variant="factorised_encoder", num_frames=8, image_size=(32, 32), tubelet_size=(2, 8, 8))
print(tiny.num_tokens, tiny.temporal_layers)

counted: config.Cost = config.cost(tiny)
print(f"{counted.parameters:,} parameters, {counted.tokens} tokens, {counted.multiply_adds:,} multiply-adds")

joint = config.replace(tiny, variant="spatio_temporal", hidden_size=384, num_heads=6)  # drops `temporal_layers`
print(joint.variant, joint.hidden_size)

for pool in typing.get_args(config.Pool):
    print(pool, config.ModelConfig(pool=pool).num_tokens)

print(config.uniform_frame_indices(num_frames=32, sampled_frames=8))  # as "uniform_frame" embeds them

frames = config.PreprocessingConfig(num_frames=8, frame_stride=4, resize=36, crop_size=(32, 32))
print(frames.span, frames)

for recipe, header in config.recipes().items():
    print(recipe, header)

chosen, reason = config.default_recipe("demo")  # of a training from the packaged model
print(chosen, "|", reason)

training: config.TrainConfig = config.train_config("small-data", source="clips", epochs=5, mixup=0.2)
print(training.optimisation.epochs, training.augmentation.mixup, training.recipe)

longer = config.override(training, epochs=50, model={"num_layers": 2})
print(longer.optimisation.epochs, longer.model["num_layers"])

pretraining: config.PretrainConfig = config.pretrain_config("small-data", source="clips", mask_ratio=0.9)
print(pretraining.masking.mask_ratio, pretraining.splits)

written = config.to_dict(training)  # ready for JSON
print(written["optimisation"])

again = config.from_dict(config.TrainConfig, written, where="train.json")  # a wrong key names the nearest right one
print(again == training)

labelled = config.DataConfig(source="labels.csv", labels=("action", "hand"), group_column="person", workers=2)
print(labelled.fractions, labelled.cache)

gentle = config.AugmentationConfig(crop="centre", flip=0.0, colour=0.0, scale_jitter=(0.9, 1.1))
print(gentle.mixes, gentle.temporal)

print(config.NO_AUGMENTATION)

fewer = config.OptimisationConfig(epochs=24, learning_rate=1e-4, batch_size=8, layer_decay=0.75, freeze="spatial")
print(fewer.warmup, "epochs of warm-up")

inflated = config.AdaptationConfig(tubelet_init="inflation", init_positions="tile")
print(config.TrainConfig(preset="vivit_base_16x2", init="vit.npz", adaptation=inflated).adaptation)

watched = config.ValidationConfig(validation_split="test", keep="last")  # the test videos choose nothing
print(watched.chooses, watched.test_chooses)

machine = config.RuntimeConfig(device="cuda", precision="bfloat16", activation_checkpointing=True)
print(machine.strategy, machine.checkpoint_minutes)

monitoring = config.MonitoringConfig(log=("tensorboard",), spike_deviations=6.0, on_spike="stop")
print(monitoring)

tubes = config.MaskingConfig(mask_ratio=0.75, time_mask_ratio=0.25)
print(tubes.visible_positions(tiny), tubes.visible_times(tiny), tubes.decoder_width(tiny))

point = config.OperatingPoint(temperature=1.3, unknown_below=0.6, fitted_on=200, split="val")
print(point)

stored = config.ShardConfig(short_side=128, crf=18)
print(stored.keyframe_interval, stored.shard_megabytes)
