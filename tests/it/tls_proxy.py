"""A proxy that speaks TLS to whoever comes and plain HTTP to the daemon behind it, for a certificate of 127.0.0.1.

Usage: tls_proxy.py CERTIFICATE KEY BACKEND_HOST BACKEND_PORT

Prints the port that it listens on, then a line for each handshake: `in` or `refused`.
"""

import socket
import ssl
import sys
import threading


def relay(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client, context, backend):
    try:
        secured = context.wrap_socket(client, server_side=True)
    except (ssl.SSLError, OSError):
        print("refused", flush=True)
        return
    print("in", flush=True)
    behind = socket.create_connection(backend)
    threading.Thread(target=relay, args=(secured, behind), daemon=True).start()
    relay(behind, secured)


def main(certificate, key, host, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, context, (host, int(port))), daemon=True).start()


main(*sys.argv[1:])
