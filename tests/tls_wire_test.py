"""TLS as Python's ssl speaks it, through the client that Thrift generates: who is served, and who may write where there
are tokens: tls_wire_test.py FOVEA"""

import pathlib
import ssl
import subprocess
import sys
import tempfile
import unittest
import warnings

import thrift_client
from thrift.transport.TSSLSocket import TSSLSocket
from thrift.transport.TTransport import TTransportException

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificates(directory):
    """ca.pem; server.pem and client.pem, which it signs; stranger.pem, which it does not; their keys."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *key, "-days", 2, "-subj", f"/CN={name}",
                "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem")
    names = directory / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        request = directory / f"{name}.csr"
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key", "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", directory / "ca.pem", "-CAkey", directory / "ca.key",
                "-CAcreateserial", "-days", 2, "-extfile", names, "-out", directory / f"{name}.pem")


def setUpModule():
    global scratch, directory, server
    # Thrift's own use of what later Pythons deprecate.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    thrift_client.generate(directory)
    make_certificates(directory)
    items, events = thrift_client.write_shop(directory)
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)
    tokens = directory / "tokens"
    tokens.write_text("a-token-for-http-only\n")
    tokens.chmod(0o600)
    server = thrift_client.Server(
        FOVEA, data, ["--tls-cert", directory / "server.pem", "--tls-key", directory / "server.key",
        "--tls-client-ca", directory / "ca.pem", "--token-file", tokens])


def tearDownModule():
    code = server.stop()
    scratch.cleanup()
    assert code == 0, f"the server ended with {code}:\n" + "".join(server.log)


def connect(protocol="binary accelerated", framed=True, ca="ca", certificate=None):
    shown = {}
    if certificate:
        shown = {"certfile": str(directory / f"{certificate}.pem"), "keyfile": str(directory / f"{certificate}.key")}
    socket = TSSLSocket("localhost", server.port, cert_reqs=ssl.CERT_REQUIRED, ca_certs=str(directory / f"{ca}.pem"),
                        **shown)
    return server.connect(protocol, framed, socket)


class Tls(unittest.TestCase):
    def test_a_client_with_a_certificate_reads_and_writes(self):
        from fovea_api.ttypes import Event, RankRequest

        for protocol in thrift_client.FACTORIES:
            for framed in (True, False):
                with self.subTest(protocol=protocol, framed=framed):
                    client = connect(protocol, framed, certificate="client")
                    self.assertEqual(len(client.rank(RankRequest(user_id="u1", limit=10)).items), 10)
                    self.assertEqual(client.record([Event("ann", "i1", "view")]), 1)
                    self.assertTrue(client.getHistory("ann", 5))
                    client.deleteUser("ann")
                    self.assertEqual(client.getHistory("ann", 5), [])

    def test_one_without_or_with_a_strangers_is_not_served(self):
        for certificate in (None, "stranger"):
            with self.subTest(certificate=certificate), self.assertRaises((TTransportException, OSError)):
                connect(certificate=certificate).status()

    def test_a_server_that_another_authority_signed_is_not_trusted(self):
        with self.assertRaises(TTransportException):
            connect(ca="stranger", certificate="client")


if __name__ == "__main__":
    unittest.main(verbosity=2)
