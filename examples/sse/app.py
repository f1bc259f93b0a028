"""Events for whoever listens, with Python's standard library alone."""

import http.server
import sys
import threading

EVERY_SECONDS = 0.2

PAGE = b"""<!doctype html>
<title>Events behind Doorward</title>
<ul id="events"></ul>
<script>
const events = document.getElementById("events");
const source = new EventSource(`/events?token=${location.hash.slice(1)}`);
source.onmessage = (event) => {
  events.append(Object.assign(document.createElement("li"), { textContent: event.data }));
  // Enough for a demonstration.
  if (events.children.length === 5) source.close();
};
source.onerror = () => { source.close(); };
</script>
"""


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.split("?")[0] != "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        caller = self.headers.get("X-Auth-Subject", "nobody")
        number = 0
        try:
            while True:
                number += 1
                event = f"id: {number}\ndata: event {number} for {caller}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                threading.Event().wait(EVERY_SECONDS)
        except OSError:
            # The listener left, which the connection tells.
            print("a listener left", flush=True)
            self.close_connection = True

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), App)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()
