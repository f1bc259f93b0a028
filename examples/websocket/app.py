"""An echo over WebSocket (RFC 6455) and the page that talks to it, with Python's standard library alone."""

import base64
import hashlib
import http.server
import struct
import sys

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

PAGE = b"""<!doctype html>
<title>WebSocket behind Doorward</title>
<p id="said">connecting</p>
<script>
const said = document.getElementById("said");
const socket = new WebSocket(`ws://${location.host}/ws?token=${location.hash.slice(1)}`);
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => { said.textContent = event.data; };
socket.onclose = (event) => { said.textContent += ` (closed: ${event.code})`; };
</script>
"""


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

    def websocket(self):
        mixed = self.headers["Sec-WebSocket-Key"] + GUID
        accept = base64.b64encode(hashlib.sha1(mixed.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Connection", "upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        caller = self.headers.get("X-Auth-Subject", "nobody")
        while True:
            kind, payload = self.receive()
            if kind == TEXT:
                self.send(TEXT, f"{caller} said: {payload.decode()}".encode())
            elif kind == PING:
                self.send(PONG, payload)
            elif kind in (CLOSE, None):
                self.send(CLOSE, payload[:2])
                return

    def receive(self):
        """One whole frame, unmasked; kind None at the end."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return None, b""
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.rfile.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.rfile.read(8))
        mask = self.rfile.read(4)
        payload = self.rfile.read(length)
        return head[0] & 0xF, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))

    def send(self, kind, payload):
        length = struct.pack("!B", len(payload)) if len(payload) < 126 else struct.pack("!BH", 126, len(payload))
        self.wfile.write(bytes([0x80 | kind]) + length + payload)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), App)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()
