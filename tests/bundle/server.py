# SPDX-License-Identifier: GPL-2.0-or-later
"""A real nginx from Debian's package, and a link to it that fails in every way."""

import contextlib
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from host import TOP, run  # noqa: E402

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        {tls}
        root {root};
        location /unranged/ {{ alias {root}/; max_ranges 0; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
        location /busy/ {{ return 503; }}
    }}
}}
"""

TLS = """
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def nginx_program():
    folder = run(TOP / "scripts/deb.sh", "updates", "amd64",
                 "nginx").stdout.split()[-1]
    return f"{folder}/usr/sbin/nginx"


def certificate(folder):
    """For this machine, vouched for by nobody but itself."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
        "server.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost", cwd=folder)


class Nginx:
    """Serves the files of a folder, until close()."""

    def __init__(self, folder, root):
        self.folder = folder
        self.port, self.tls = free_port(), free_port()
        certificate(folder)
        (folder / "tmp").mkdir()
        (folder / "nginx.conf").write_text(CONFIG.format(
            folder=folder, port=self.port, root=root,
            tls=TLS.format(tls=self.tls, folder=folder)))
        self.process = subprocess.Popen(
            [nginx_program(), "-c", folder / "nginx.conf", "-e",
             folder / "error.log", "-p", folder],
            stdin=subprocess.DEVNULL)
        wait_for(self.port)

    def close(self):
        self.process.terminate()
        self.process.wait()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"


def wait_for(port, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens at port {port}")


# Of somebody between: neither the file nor the range that was asked for.
ODD = (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-9/10\r\n"
       b"Content-Length: 3\r\n\r\nabc")


class Fault:
    """What happens to the answer of one connection after so many bytes, and
    what is done at that moment."""

    def __init__(self, kind, after, meanwhile=lambda: None):
        self.kind, self.after, self.meanwhile = kind, after, meanwhile


class Asked:
    """The requests in what a client sends on one connection."""

    def __init__(self, ranges):
        self.ranges, self.text = ranges, b""

    def take(self, data):
        """Adds the range of each request that is complete, or None."""
        *heads, self.text = (self.text + data).split(b"\r\n\r\n")
        for head in heads:
            found = re.search(rb"(?im)^range: *(\S+)", head)
            self.ranges.append(found[1].decode() if found else None)


class Link:
    """A port that leads to another; faults are of its first connections, one
    each, in this order; later ones work, or fail like the last with forever.
    What is asked for is kept in the order of asking: a server logs a request
    when it is over, and that it was cut off it learns late."""

    def __init__(self, port, faults=(), forever=False):
        self.to, self.faults, self.forever = port, list(faults), forever
        self.asked = []
        self.connections = 0
        self.met = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def close(self):
        self.listener.close()

    def next_fault(self):
        i = self.connections
        self.connections += 1
        if i < len(self.faults):
            return self.faults[i]
        return self.faults[-1] if self.forever else None

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.carry, daemon=True,
                                 args=(client, self.next_fault())).start()

    def carry(self, client, fault):
        sent, asked = 0, Asked(self.asked)
        with client, contextlib.suppress(OSError), \
                socket.create_connection(("127.0.0.1", self.to)) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [], 60)
                for end in ready:
                    data = end.recv(16384)
                    if not data:
                        return
                    if end is client:
                        asked.take(data)
                        server.sendall(data)
                        continue
                    data = self.apply(client, fault, sent, data)
                    client.sendall(data)
                    sent += len(data)

    def apply(self, client, fault, sent, data):
        """The bytes to pass on; OSError: the connection is over."""
        if not fault or not sent <= fault.after < sent + len(data):
            return data
        self.met += 1
        fault.meanwhile()
        part = fault.after - sent
        if fault.kind == "damage":
            return data[:part] + bytes([data[part] ^ 1]) + data[part + 1:]
        if fault.kind == "odd":
            client.sendall(ODD)
            raise OSError(fault.kind)
        client.sendall(data[:part])
        if fault.kind == "stall":
            time.sleep(20)
        if fault.kind == "cut":  # a reset, not an end
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              b"\1\0\0\0\0\0\0\0")
        raise OSError(fault.kind)


def count(name, value):
    """For the summary of 'make test-bundle'."""
    file = os.environ.get("BOW_COUNTS")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(f"{name}={value}\n")
