"""Uploads that are made to reach the network, and more of them at once than are let in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving_help import running, write_day
from tiny import day_and_night
from tubelet.prediction import Predictor, Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")

LISTS = [
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}/a.ts\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}/a.m3u8\n",
    "ffconcat version 1.0\nfile '{address}/a.mp4'\n",
    "v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    '<?xml version="1.0"?>\n<MPD type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="0" '
    'bandwidth="1"><BaseURL>{address}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
]
PLACES = [
    ("http://127.0.0.1:8000", "127.0.0.1"),
    ("https://192.0.2.1", "192.0.2.1"),
    ("udp://239.0.0.1:1", "239.0.0.1"),
]

IN_A_NETWORK_OF_ITS_OWN = """
import fcntl, json, re, socket, struct, sys
import av
from tubelet.errors import VideoError
from tubelet.serving import tasks
from tubelet.video.guarded import GuardedPool

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:  # ip link set lo up
    fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))

def packets():
    words = open("/proc/net/snmp").read() + open("/proc/net/snmp6").read()
    rows = re.findall(r"^Ip: (\\D.*)\\nIp: (.*)$", words, re.M)[0]
    counts = dict(zip(rows[0].split(), map(int, rows[1].split())))
    return counts["OutRequests"] + counts["OutNoRoutes"] + int(re.search(r"Ip6OutRequests\\s+(\\d+)", words)[1])

before, refusals = packets(), []
with GuardedPool(1, preload=("tubelet.serving.tasks",)) as pool:
    for path in sys.argv[1:]:
        try:
            pool.call(tasks.preview, path, path + ".out")
        except VideoError as error:
            refusals.append(error.reason)
left = packets() - before
try:
    av.open(sys.argv[1], format="hls", options={"protocol_whitelist": "file,http,tcp"}).close()
except (OSError, av.FFmpegError):
    pass
print(json.dumps({"refusals": refusals, "left": left, "unguarded": packets() - before - left}))
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="this machine makes no network namespaces",
)
def test_no_packet_leaves_for_a_list_of_addresses(tmp_path: Path) -> None:
    paths = []
    for address, host in PLACES:
        for words in LISTS:
            paths.append(tmp_path / f"{len(paths)}")
            paths[-1].write_text(words.format(address=address, host=host))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["unshare", "-rn", sys.executable, "-c", IN_A_NETWORK_OF_ITS_OWN, *map(str, paths)]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert len(found["refusals"]) == len(paths)
    assert set(found["refusals"]) == {found["refusals"][0]}
    assert "a list of other files" in found["refusals"][0]
    assert found["left"] == 0
    assert found["unguarded"] > 0  # FFmpeg by itself asks


def test_of_a_hundred_uploads_at_once_each_is_answered_rightly_or_refused(tmp_path: Path) -> None:
    paths = [write_day(tmp_path / f"{level}.mp4", [level] * 8) for level in (0, 100, 255)]
    contents, expected = [path.read_bytes() for path in paths], []
    for path in paths:
        result = Predictor(day_and_night())(path)
        assert isinstance(result, Result)
        expected.append(result.probability)
    with running(capacity=40, decoders=2) as service, ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(lambda number: service.post("/v1/predict", contents[number % 3]), range(100)))
        for number, answer in enumerate(answers):
            if answer.status_code == 200:
                assert answer.json()["probability"] == pytest.approx(expected[number % 3], abs=1e-5)
        assert {answer.status_code for answer in answers} == {200, 429}
        assert sum(answer.status_code == 200 for answer in answers) >= 40
        until = time.monotonic() + 5
        while os.listdir(service.service.folder):
            assert time.monotonic() < until
            time.sleep(0.02)
