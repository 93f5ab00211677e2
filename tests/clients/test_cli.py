"""`contacts` as somebody types it: results on stdout, reasons on stderr, and an exit code for scripts."""

import asyncio
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contactservice.cli import _parser
from contactservice.cli.settings import DEV_TOKEN, VARIABLES, _credential, is_insecure
from service.rpc import token_file
from service.rpc.server import Server
from service.sources import OF_THE_CLIENT
from service.storage.mongod_process import free_port
from tests.clients.command import Cli
from tests.people import fill
from tests.rpc.pki import Authority
from tests.rpc.serving import NOBODY_LISTENS, serving


async def test_a_contact_on_the_command_line(cli: Cli) -> None:
    """Ensured, read, changed, counted, listed and deleted: each answer is one line of JSON."""
    made = await cli("ensure", "--name", "Zoë", "--email", "z@example.com", "--metadata", '{"plan": "pro"}')
    assert (made.code, made.err) == (0, "")
    [answer] = made.objects
    contact = answer["contact"]
    assert (answer["created"], contact["name"], contact["trusted"]) == (True, "Zoë", False)
    assert (await cli("ensure", "--name", "zoë", "--email", "Z@example.com")).objects[0]["created"] is False
    assert (await cli("get", contact["id"])).objects == [contact]
    changed = await cli(
        *("update", contact["id"], "--phone", "1", "--metadata", '{"plan": null, "n": 1}'),
        *("--clear", "email", "--etag", contact["etag"], "--verified-at", "2026-01-02T03:04:05Z"),
    )
    [now] = changed.objects
    assert (now["phone"], now["email"], now["metadata"]) == ("1", "", {"n": 1})
    assert now["verifiedAt"] == "2026-01-02T03:04:05Z"
    assert (await cli("update", contact["id"], "--metadata", "{}", "--replace-metadata")).objects[0][
        "metadata"
    ] == {}
    created = [(await cli("create", "--name", "Bob", "--request-id", "1")).objects[0] for _ in range(2)]
    assert [each["created"] for each in created] == [True, False]
    assert (await cli("count", "--filter", '{"verified": true}')).objects == [{"count": 1, "capped": False}]
    listed = (await cli("list", "--order", "oldest", "--page-size", "1")).objects
    assert [each["name"] for each in listed] == ["Zoë", "Bob"]
    assert [each["name"] for each in (await cli("list", "--limit", "1")).objects] == ["Bob"]
    assert (await cli("delete", contact["id"])).objects[0]["receipt"]["state"] == "DELETION_STATE_COMPLETE"
    assert (await cli("delete", contact["id"], "--allow-missing")).code == 0


async def test_a_purge_is_looked_at_and_then_forced(cli: Cli, server: Server, account: str) -> None:
    """Counted, then deleted up to a limit, then all of it in as many calls as that takes."""
    people = await fill(server.store, account, count=3000)
    words = ("purge", "--filter", '{"metadata": {"plan": "pro"}}')
    matching = [person.id for person in people if person.metadata["plan"] == "pro"]
    [seen] = (await cli(*words)).objects
    assert (seen["deleted"], seen["matching"], seen["sampleIds"]) == (0, len(matching), matching[:20])
    assert seen["state"] == "PURGE_STATE_DRY_RUN"
    [some] = (await cli(*words, "--force", "--limit", "100")).objects
    assert some == {"deleted": 100, "restricted": 0, "state": "PURGE_STATE_PARTIAL"}
    [rest] = (await cli(*words, "--force")).objects
    assert rest == {"deleted": len(matching) - 100, "restricted": 0, "state": "PURGE_STATE_COMPLETE"}
    assert (await cli("count")).objects[0]["count"] == len(people) - len(matching)
    refused = await cli("purge", "--filter", "{}", "--force")
    assert (refused.code, refused.err.split(":")[1]) == (1, " FILTER_INVALID")


async def test_an_error_of_the_service_is_one_sentence(cli: Cli) -> None:
    """With its reason, and a line below for each field; nothing on stdout, and exit code 1."""
    gone = await cli("get", "ct_nobody")
    assert (gone.code, gone.out) == (1, "")
    assert gone.err == "contacts: CONTACT_NOT_FOUND: There is no contact with this id.\n"
    wrong = await cli("ensure", "--name", "x" * 300, "--phone", "1" * 100)
    assert wrong.code == 1
    first, *fields = wrong.err.splitlines()
    assert first.startswith("contacts: INVALID_FIELD: contact.name: ")
    assert [line.split(":")[0] for line in fields] == ["  contact.name", "  contact.phone"]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        [],
        ["get"],
        ["ensure", "--metadata", "[1]"],
        ["ensure", "--verified-at", "today"],
        ["list", "--filter", "{"],
        ["list", "--filter", '{"nonsense": 1}'],
        ["list", "--limit", "-1"],
        ["purge", "--force"],
        ["purge", "--filter", "{}", "--limit", "0"],
        ["count", "--token-file", "not-there"],
        ["count", "--tls-roots", "not-there"],
        ["count", "--tls-client-cert", "/dev/null"],
        ["export", "--form", "csv"],
    ],
    ids=" ".join,
)
async def test_usage_has_a_code_of_its_own(cli: Cli, words: list[str]) -> None:
    """What makes no sense is told in a sentence, with exit code 2 and before any call."""
    ended = await cli(*words)
    assert (ended.code, ended.out) == (2, "")
    assert "contacts" in ended.err


async def test_an_export_goes_to_stdout_or_a_file(
    cli: Cli, server: Server, account: str, tmp_path: Path
) -> None:
    """The same bytes; the file is there as a whole or not at all."""
    people = await fill(server.store, account, count=500)
    out = await cli("export", "--order", "newest", "--filter", '{"trusted": true}')
    assert [each["id"] for each in out.objects] == [each.id for each in people[::-1] if each.trusted]
    for name in ("jsonl", "json", "csv"):
        words = ("export", "--format", name, "--csv-cells", "raw", "--csv-bom", "--max-records", "400")
        shown = await cli(*words)
        written = await cli(*words, "--output", f"people.{name}")
        assert (shown.code, written.code, written.out) == (0, 0, "")
        assert (tmp_path / f"people.{name}").read_text(encoding="utf-8") == shown.out
    refused = await cli("export", "--output", "none", "--filter", '{"metadata": {"a": null}}')
    assert (refused.code, refused.err.startswith("contacts: FILTER_INVALID: ")) == (1, True)
    assert not (tmp_path / "none").exists()
    nowhere = await cli("export", "--output", "no/such/folder")
    assert nowhere.code == 1
    assert "no/such/folder" in nowhere.err


async def test_doctor_tells_what_is_wrong(cli: Cli, server: Server, tokens: Path, tmp_path: Path) -> None:
    """All well; a token without scope `read` is still a good one; a bad one, and nobody there, are not."""
    [well] = (await cli("doctor")).objects
    assert well["address"] == str(server.address)
    assert (well["tls"], well["reads"]) == (False, True)
    exporting = token_file.add(tokens, "acme", ("export",))
    [limited] = (await cli("doctor", "--token", exporting, "--account", "acme")).objects
    assert (limited["account"], limited["reads"]) == ("acme", False)
    refused = await cli("doctor", "--token", "wrong")
    assert (refused.code, refused.err.split(":")[1]) == (1, " CREDENTIALS_INVALID")
    nobody = await Cli(tmp_path)("doctor", "--address", f"127.0.0.1:{free_port()}")
    assert (nobody.code, nobody.err.split(":")[1]) == (1, " UNAVAILABLE")
    assert len(nobody.err.splitlines()) == 1


async def test_flags_win_over_variables_and_those_over_the_dev_token(
    server: Server, tokens: Path, tmp_path: Path, account: str
) -> None:
    """Token files as well as tokens; the dev token of `./dev run` is found by itself, on loopback."""
    good, bad = token_file.add(tokens, account, ("read",)), "bad"
    folder = tmp_path / ".contactservice" / "data"
    folder.mkdir(parents=True)
    (folder / "dev-token").write_text(good + "\n")
    (tmp_path / "bad").write_text(bad)
    flag = ("--address", str(server.address))
    assert (await Cli(tmp_path)("count", *flag)).code == 0
    assert (await Cli(tmp_path, TOKEN_FILE="bad")("count", *flag)).code == 1
    assert (await Cli(tmp_path, TOKEN=bad)("count", *flag)).code == 1
    assert (
        await Cli(tmp_path, TOKEN=bad)("count", *flag, "--token-file", str(folder / "dev-token"))
    ).code == 0
    assert (
        await Cli(tmp_path, TOKEN_FILE="bad", ADDRESS=str(server.address))("count", "--token", good)
    ).code == 0


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1:1", True),
        ("localhost:50051", True),
        # What a container has as the address of its service.
        ("0.0.0.0:50051", True),
        ("[::]:50051", True),
        ("contacts.example:1", False),
        ("127.0.0.1.example:1", False),
        ("dns:///contacts.example:1", False),
    ],
)
def test_the_dev_token_is_not_sent_to_strangers(
    address: str, is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only addresses of this machine get it, and only there TLS is not the default."""
    (tmp_path / DEV_TOKEN).parent.mkdir(parents=True)
    (tmp_path / DEV_TOKEN).write_text("secret")
    monkeypatch.chdir(tmp_path)
    options = _parser().parse_args(["count", "--address", address])
    assert _credential(options, address) == (None, DEV_TOKEN if is_local else None)
    assert is_insecure(options) == is_local


async def test_tls_with_a_certificate_of_the_client(
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path], tmp_path: Path
) -> None:
    """By flags or variables; without them the connection fails, and that is told."""
    token_file.allow(mutual_tls["tokens"], "CN=sales,O=Example", "a", ("read",))
    certificate, key = authority.client("sales").write(tmp_path, "client")
    async with serving(mongodb_uri, **mutual_tls) as (server, _):
        address = str(server.address)
        words = ("count", "--tls-client-cert", str(certificate), "--tls-client-key", str(key))
        assert (await Cli(tmp_path, ADDRESS=address, TLS_ROOTS="ca.pem")(*words)).code == 0
        for roots in ({}, {"TLS_ROOTS": "client.pem"}):
            failed = await Cli(tmp_path, ADDRESS=address, **roots)("count", "--timeout", "10")
            assert (failed.code, failed.err.split(":")[1]) == (1, " UNAVAILABLE")
            assert len(failed.err.splitlines()) == 1


def test_the_service_bears_the_variables_of_the_command() -> None:
    """It refuses settings that it does not know; those of the command it knows by name."""
    assert VARIABLES == OF_THE_CLIENT


@pytest.fixture
def crowd(server: Server, account: str) -> Callable[[], Any]:
    """More than a pipe holds."""
    return lambda: fill(server.store, account, count=6000, size=2000)


@pytest.mark.parametrize("command", ["list", "export"])
async def test_a_reader_that_leaves_is_no_error(cli: Cli, crowd: Callable[[], Any], command: str) -> None:
    """`contacts list | head -1` ends as a program does whom nobody listens to, and says nothing."""
    await crowd()
    process = cli.started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    assert await asyncio.to_thread(process.stdout.readline)
    process.stdout.close()
    assert await asyncio.to_thread(process.wait, 30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


async def test_ctrl_c_ends_a_command(cli: Cli, crowd: Callable[[], Any]) -> None:
    """In the middle of its output, with 130 and without a word."""
    await crowd()
    process = cli.started("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    await asyncio.to_thread(process.stdout.readline)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, timeout=30)
    assert (process.returncode, err) == (130, "")


async def test_a_database_that_is_away_is_told(tokens: Path, any_token: str, tmp_path: Path) -> None:
    """The reason of the service, not that gRPC found no replica ready."""
    async with serving(NOBODY_LISTENS, tokens=tokens, store_timeout=0.1) as (server, _):
        ended = await Cli(tmp_path, ADDRESS=str(server.address), TOKEN=any_token, ACCOUNT="a")("doctor")
    assert ended.code == 1
    assert ended.err.startswith("contacts: STORE_UNAVAILABLE: ")
