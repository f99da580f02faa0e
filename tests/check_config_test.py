"""`fovea serve --check-config` tells what would be in effect and everything that is wrong, and serves nothing:
check_config_test.py FOVEA"""

import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import unittest

import thrift_client

FOVEA = pathlib.Path(sys.argv.pop(1)).resolve()


def setUpModule():
    global scratch, directory, data
    scratch = tempfile.TemporaryDirectory()
    directory = pathlib.Path(scratch.name)
    items, events = thrift_client.write_shop(directory, users=2)
    data = directory / "data"
    subprocess.run([FOVEA, "import", "--data", data, "--items", items, "--events", events], check=True)


def tearDownModule():
    scratch.cleanup()


def check(*flags, config=None, environment=None, where=None):
    command = [FOVEA, "serve", "--check-config", "--data", where or data, *flags]
    if config is not None:
        (directory / "fovea.toml").write_text(config)
        command += ["--config", directory / "fovea.toml"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **(environment or {})}
    )


class CheckConfig(unittest.TestCase):
    def accepted(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        return tomllib.loads(result.stdout)

    def refused(self, result, *sentences):
        self.assertEqual(result.returncode, 1, result.stderr)
        complaints = result.stderr.splitlines()
        for sentence in sentences:
            self.assertTrue(any(sentence in complaint for complaint in complaints), (sentence, complaints))
        self.assertEqual(len(complaints), len(sentences), complaints)
        self.assertTrue(all(complaint.startswith("fovea: ") for complaint in complaints), complaints)

    def test_defaults_are_printed_as_such(self):
        result = check()
        server = self.accepted(result)["server"]
        self.assertEqual(server["thrift"], "127.0.0.1:7070")
        self.assertEqual(server["frame_bytes_max"], 1 << 20)
        self.assertEqual(server["console"], "on")
        self.assertEqual(server["log_requests"], "none")
        lines = result.stdout.splitlines()[1:]
        self.assertTrue(all(line.endswith("# default") for line in lines), lines)

    def test_each_value_says_where_it_came_from(self):
        result = check(
            "--threads",
            "2",
            config='[server]\nthreads = 1\nread_timeout_ms = 5\nhttp = "127.0.0.1:0"\n'
            '[actions."a \\" b"]\nseen = false\n',
            environment={"FOVEA_SERVER_READ_TIMEOUT_MS": "6", "FOVEA_SERVER_IDLE_TIMEOUT_MS": "0"},
        )
        settings = self.accepted(result)
        self.assertEqual(settings["server"]["threads"], 2)
        self.assertEqual(settings["server"]["read_timeout_ms"], 6)
        self.assertEqual(settings["server"]["idle_timeout_ms"], 0)
        self.assertEqual(settings["actions"], {'a " b': {"weight": 1, "seen": False}})
        source = {line.split(" = ")[0]: line.split("# ")[-1] for line in result.stdout.splitlines()}
        self.assertEqual(source["threads"], "--threads")
        self.assertEqual(source["read_timeout_ms"], "FOVEA_SERVER_READ_TIMEOUT_MS")
        self.assertEqual(source["http"], f"{directory}/fovea.toml:4")

    def test_how_queries_are_searched_is_printed_too(self):
        server = self.accepted(check("--search-attributes", "brand,author", config="[server]\nwords_weight = 0.5\n"))
        self.assertEqual(server["server"]["search_attributes"], ["brand", "author"])
        self.assertEqual(server["server"]["search_language"], "english")
        self.assertEqual(server["server"]["words_weight"], 0.5)
        self.refused(check("--search-language", "klingon"), "one of these is expected: none arabic")

    def test_what_is_printed_is_a_configuration(self):
        first = check("--threads", "2", "--wait-max-ms", "7", config="[actions.skip]\nweight = -0.5\n")
        self.assertEqual(self.accepted(check(config=first.stdout)), self.accepted(first))

    def test_all_mistakes_are_told_at_once(self):
        self.refused(
            check(
                "--deadline-ms",
                "soon",
                config='[server]\nthread = 1\nthreads = "1"\nthrift = "0.0.0.0:7070"\n[actions.a]\nwait = 1\n',
                environment={"FOVEA_SERVER_WAIT_MAX_MS": "-1"},
                where=directory / "nowhere",
            ),
            f"{directory}/fovea.toml:2: [server] has no key 'thread'",
            f"{directory}/fovea.toml:3: threads is the string",
            f"{directory}/fovea.toml:6: actions.a has no key 'wait'",
            'FOVEA_SERVER_WAIT_MAX_MS: wait_max_ms is "-1"',
            '--deadline-ms is "soon"',
            f"thrift ({directory}/fovea.toml:4): 0.0.0.0:7070 can be reached from other machines",
            "there is no data directory",
        )

    def test_an_address_that_others_reach_is_allowed_by_insecure_only(self):
        self.refused(check("--http", "0.0.0.0:1"), "http (--http): 0.0.0.0:1 can be reached from other machines")
        self.accepted(check("--http", "0.0.0.0:1", "--insecure"))
        self.refused(check("--thrift", "no.such.host.invalid:1"), "cannot listen on 'no.such.host.invalid'")
        self.refused(check("--http", "127.0.0.1:7070"), "each needs a port of its own")

    def test_what_the_console_may_do_is_a_setting(self):
        result = check(config='[server]\nconsole = "off"\n', environment={"FOVEA_SERVER_CONSOLE": "read-only"})
        self.assertEqual(self.accepted(result)["server"]["console"], "read-only")
        self.assertRegex(result.stdout, r'console = "read-only" +# FOVEA_SERVER_CONSOLE')
        self.refused(check("--console", "yes"), '--console is "yes"; ' "'yes' does not say what the console may do")

    def test_a_file_that_cannot_be_read_is_named(self):
        self.refused(check(config="[server\n"), "fovea.toml:1: ")
        self.refused(check("--config", directory / "missing.toml"), "missing.toml")
        self.refused(check("--config", directory), str(directory))

    def test_a_directory_without_a_store_is_told(self):
        (directory / "empty").mkdir(exist_ok=True)
        self.assertEqual(check(where=directory / "empty").returncode, 1)

    def test_it_disturbs_no_server_and_binds_no_port(self):
        server = thrift_client.Server(FOVEA, data)
        try:
            self.accepted(check("--thrift", f"127.0.0.1:{server.port}"))
        finally:
            self.assertEqual(server.stop(), 0, server.log)

    def test_serve_refuses_what_the_check_refuses(self):
        command = [FOVEA, "serve", "--data", data]
        wrong_flag = subprocess.run([*command, "--threads", "-1"], capture_output=True, text=True, timeout=60)
        self.assertEqual(wrong_flag.returncode, 2, wrong_flag.stderr)
        self.assertIn('--threads is "-1"; a whole number from 0 to 1024', wrong_flag.stderr)
        environment = {**os.environ, "FOVEA_SERVER_LOG_FORMAT": "xml"}
        wrong = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        self.assertEqual(wrong.returncode, 1, wrong.stderr)
        self.assertIn("'xml' is no format of the log", wrong.stderr)


if __name__ == "__main__":
    unittest.main()
