"""Start the service, ask it about a video, and stop it."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tubelet.paths import packaged_model

ADDRESS = "http://127.0.0.1:8765"
service = subprocess.Popen([sys.executable, "-m", "tubelet", "serve", "demo", "--port", "8765", "--quiet"])
try:
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{ADDRESS}/readyz")
            break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    video = (packaged_model("demo") / "clip.mp4").read_bytes()
    with urllib.request.urlopen(urllib.request.Request(f"{ADDRESS}/v1/predict?top=3", video)) as answer:
        print(json.dumps(json.load(answer)["top"], indent=2))
finally:
    service.terminate()
    service.wait()
