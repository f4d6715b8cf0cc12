"""Every name of `tubelet.demo` in use."""

from tubelet import demo
from tubelet.training import SilentReporter

print([one.name for one in demo.CLASSES])

motion = demo.Motion(direction="left", speed="fast", colours="rgb")
print(motion.name, motion.ring())

clips = demo.write_clips("clips", {"train": 1, "test": 1}, seed=3)  # clips/SPLIT/CLASS/NUMBER.mp4
print(sorted(one.name for one in (clips / "train").iterdir()))

little = demo.DemoConfig(train_clips=2, test_clips=1, epochs=1)  # the default takes minutes, and learns
shown: demo.DemoResult = demo.run_demo("demo", little, reporter=SilentReporter())
print(shown.report, shown.next_commands())

scores: demo.Scores = shown.scores["encoder"]
print(scores.top1, scores.direction, scores.speed, scores.colours)
