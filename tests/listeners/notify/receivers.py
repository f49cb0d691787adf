"""Receivers of notifications on this machine, a web server and a mail server, with faults on request."""

from __future__ import annotations

import base64
import email
import email.policy
import http.server
import json
import socketserver
import ssl
import threading
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Certificate and key of ``localhost``, valid until 2126, only for these tests."""


def encrypted(socket):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context.wrap_socket(socket, server_side=True)


class WebReceiver:
    """A web server that stores its requests. `answers` are its next statuses and headers, then 200.

    The answer "hang" is none until the server is closed.
    """

    def __init__(self, *answers, tls=False):
        self.answers, self.requests = list(answers), []
        self.came, self.closed = threading.Semaphore(0), threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.requests.append((self.path, dict(self.headers), body))
                receiver.came.release()
                answer = receiver.answers.pop(0) if receiver.answers else 200
                if answer == "hang":
                    receiver.closed.wait(30)
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self):
                receiver.requests.append((self.path, dict(self.headers), None))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = encrypted(self.server.socket)
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        self.url = f"{scheme}://{host}:{self.server.server_port}/hooks/t0p-secret-place"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def bodies(self):
        return [body for _, _, body in self.requests]

    @property
    def keys(self):
        return [headers["Idempotency-Key"] for _, headers, _ in self.requests]

    def close(self):
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()


class MailReceiver:
    """A mail server that stores mails and logins. *answer* is its answer to each mail."""

    def __init__(self, security="none", answer="250 taken", password="right-password"):
        self.mails, self.logins, self.recipients = [], [], []
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 here")
                while line := self.rfile.readline().decode().strip():
                    word = line.split()[0].upper()
                    if word == "EHLO":
                        more = "250-STARTTLS\r\n" if security == "starttls" else ""
                        self.say(f"250-here\r\n{more}250 AUTH PLAIN")
                    elif word == "STARTTLS":
                        self.say("220 go on")
                        self.connection = encrypted(self.connection)
                        self.rfile = self.connection.makefile("rb")
                        self.wfile = self.connection.makefile("wb", 0)
                    elif word == "AUTH":
                        found = base64.b64decode(line.split()[2]).decode().split("\0")[1:]
                        receiver.logins.append(
                            (tuple(found), isinstance(self.connection, ssl.SSLSocket))
                        )
                        self.say("235 ok" if found[1] == password else "535 no")
                    elif word == "DATA":
                        self.say("354 go on")
                        lines = iter(self.rfile.readline, b".\r\n")
                        mail = email.message_from_bytes(
                            b"".join(lines), policy=email.policy.default
                        )
                        if answer.startswith("250"):
                            receiver.mails.append(mail)
                        self.say(answer)
                    elif word == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        if word == "RCPT":
                            receiver.recipients.append(line)
                        self.say("250 ok")

            def finish(self):
                super().finish()
                if isinstance(self.connection, ssl.SSLSocket):
                    self.connection.close()

            def say(self, text):
                self.wfile.write(f"{text}\r\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        if security == "tls":
            self.server.socket = encrypted(self.server.socket)
        self.address = f"localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
