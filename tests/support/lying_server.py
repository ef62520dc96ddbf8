"""A web server on this machine that serves a folder badly: the first part of a path says how.

    python3 lying_server.py FOLDER PORT_FILE LOG_FILE

  good     as it should be
  norange  sends all, whatever range is asked for, and breaks off in the middle the first time
  cut      sends two thirds of what is left, then breaks off
  never    tells of a length and sends nothing
  stall    sends a half the first time, then nothing more, and keeps the connection
  pause    the same, but later as it should be
  html     a web page, with status 200
  swapped  the first half of a file, then breaks off; what is asked for after that is another file's
  empty    nothing, with status 200
  flaky    status 503 twice, then as it should be
  404 500  that status
"""

import http.server
import sys
import threading
from pathlib import Path

PAGE = b"<!DOCTYPE html><html><body>Please accept our cookies.</body></html>\n"


class Handler(http.server.BaseHTTPRequestHandler):
    seen: dict[str, int] = {}

    def log_message(self, *_: object) -> None:
        with open(sys.argv[3], "a", encoding="utf-8") as log:
            log.write(f"{self.path} {self.headers.get('Range', '-')}\n")

    def send(self, status: int, content: bytes, sent: int, extra: dict[str, str] = {}) -> None:
        """The first `sent` bytes of what the header tells of."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:sent])
        self.wfile.flush()
        self.close_connection = True

    def do_GET(self) -> None:
        mode, name = self.path[1:].split("/", 1)
        times = self.seen[self.path] = self.seen.get(self.path, 0) + 1
        path = Path(sys.argv[1]) / name
        if mode.isdigit() or not path.is_file():
            return self.send(int(mode) if mode.isdigit() else 404, PAGE, len(PAGE))
        if mode == "flaky" and times < 3:
            return self.send(503, PAGE, len(PAGE))
        if mode in ("html", "empty"):
            content = PAGE if mode == "html" else b""
            return self.send(200, content, len(content))
        whole = path.read_bytes()
        start = int(self.headers["Range"][6:-1]) if "Range" in self.headers and mode != "norange" else 0
        if mode == "swapped" and start:
            whole = bytes(255 - byte for byte in whole)
        left = whole[start:]
        sent = {"cut": (2 * len(left) + 2) // 3, "never": 0, "stall": 0}.get(mode, len(left))
        if times == 1 and mode in ("norange", "swapped", "stall", "pause"):
            sent = len(left) // 2
        extra = {"Content-Range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"} if start else {}
        self.send(206 if start else 200, left, sent, extra)
        if sent < len(left) and mode in ("stall", "pause"):
            threading.Event().wait(20)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients break off, too."""


server = Server(("127.0.0.1", 0), Handler)
Path(sys.argv[2]).write_text(f"{server.server_address[1]}\n", encoding="utf-8")
server.serve_forever()
