"""A row for each of many videos, proven complete, and a search for similar ones."""

from pathlib import Path

from tubelet import corpus
from tubelet.demo import write_clips
from tubelet.paths import packaged_model

if __name__ == "__main__":  # decoders are processes of their own, and import this file
    if not Path("clips").exists():
        write_clips("clips", {"train": 3, "test": 1})
    print(corpus.run("demo", "clips/test", "labelled", embed=True, decoders=1))
    print(corpus.check("labelled"))
    for match in corpus.search("labelled", packaged_model("demo") / "clip.mp4", top=3):
        print(match)
