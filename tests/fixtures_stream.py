"""Real streams on loopback, served by ffmpeg: RTSP (the handshake here, the media by ffmpeg's RTP muxer) and MPEG-TS over HTTP."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """Plays one file to one client at a time, over TCP; `cuts` = after how many packets to cut each connection (None = the end)."""

    def __init__(
        self, path: Path, folder: Path, *, speed: float = 4.0, cuts: tuple[int | None, ...] = (None,), pause: float = 0.0
    ) -> None:
        self._path, self._speed, self._pause, self._cuts = path, speed, pause, list(cuts)
        self._sdp = self._describe(folder / "stream.sdp")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://teacher:secret@127.0.0.1:{self._socket.getsockname()[1]}/room"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._socket.close()
        self._thread.join(10)

    def _describe(self, sdp: Path) -> bytes:
        command = ["ffmpeg", "-v", "error", "-i", self._path, "-t", "0.1", "-an", "-c", "copy", "-f", "rtp", "-sdp_file", sdp]
        subprocess.run([*command, f"rtp://127.0.0.1:{find_free_port()}"], check=True, timeout=30)
        lines = [line for line in sdp.read_text().splitlines() if not line.startswith(("SDP:", "m=", "c="))]
        media = next(line for line in sdp.read_text().splitlines() if line.startswith("m=")).split()
        where = lines.index(next(line for line in lines if line.startswith("a=rtpmap")))
        lines[where:where] = [f"m=video 0 RTP/AVP {media[3]}", "c=IN IP4 0.0.0.0"]
        return ("\r\n".join([*lines, "a=control:track1"]) + "\r\n").encode()

    def _serve(self):
        for cut in self._cuts:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), client:
                self._talk(client, cut)
            time.sleep(self._pause)
        self._socket.close()

    def _talk(self, client, cut):
        text = b""
        while True:
            data = client.recv(65536)
            if not data:
                return
            text += data
            while b"\r\n\r\n" in text:
                request, text = text.split(b"\r\n\r\n", 1)
                verb, number = (
                    request.split()[0],
                    next(x.split()[1] for x in request.split(b"\r\n") if x.lower().startswith(b"cseq")),
                )
                client.sendall(self._answer(verb, number))
                if verb == b"PLAY":
                    self._play(client, cut)
                    return

    def _answer(self, verb, number):
        head = b"RTSP/1.0 200 OK\r\nCSeq: " + number + b"\r\nSession: 1\r\n"
        if verb == b"OPTIONS":
            head += b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        if verb == b"SETUP":
            head += b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        if verb == b"DESCRIBE":
            head += b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(self._sdp)
            return head + b"\r\n" + self._sdp
        return head + b"\r\n"

    def _play(self, client, cut):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
            media.bind(("127.0.0.1", 0))
            media.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            media.settimeout(0.5)
            target = f"rtp://127.0.0.1:{media.getsockname()[1]}?rtcpport={find_free_port()}"
            command = [
                "ffmpeg",
                "-v",
                "error",
                "-readrate",
                str(self._speed),
                "-i",
                self._path,
                "-an",
                "-c",
                "copy",
                "-f",
                "rtp",
                target,
            ]
            sender = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                sent = 0
                while cut is None or sent < cut:
                    try:
                        packet = media.recv(65536)
                    except TimeoutError:
                        if sender.poll() is not None:
                            return
                        continue
                    client.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                    sent += 1
            finally:
                sender.kill()
                sender.wait()


@pytest.fixture(scope="session")
def ffmpeg():
    """The path of ffmpeg; tests that need it skip where it is not installed, except in CI."""
    found = shutil.which("ffmpeg")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("ffmpeg is not installed, and CI must run these tests (apt-get install ffmpeg)")
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")
    return found


@pytest.fixture
def serve_rtsp(ffmpeg, tmp_path):
    """The function that serves a file by RTSP; every server is closed at the end."""
    servers = []

    def serve(path, **options):
        servers.append(RtspServer(path, tmp_path, **options))
        return servers[-1].url

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def serve_http(ffmpeg):
    """The function that serves a file once as an endless MPEG-TS over HTTP, at its own speed."""
    running = []

    def serve(path, *, loops=-1):
        url = f"http://127.0.0.1:{find_free_port()}/live.ts"
        command = [
            ffmpeg,
            "-v",
            "error",
            "-re",
            "-stream_loop",
            str(loops),
            "-i",
            path,
            "-c",
            "copy",
            "-f",
            "mpegts",
            "-listen",
            "1",
            url,
        ]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return url

    yield serve
    for process in running:
        process.kill()
        process.wait()
