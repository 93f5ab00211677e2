"""`contactservice doctor`: each check, well and failing; what it says, what it leaves, how it ends."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from service import config as configuration
from service.commands.doctor import examined
from service.ops.findings import Finding
from service.rpc import token_file
from service.storage.examination import clock, topology, version
from tests.rpc.issuer import issuing
from tests.rpc.pki import Authority
from tests.rpc.serving import NOBODY_LISTENS

DAY = 24 * 60 * 60
JWTS = {"jwt_issuer": "x", "jwt_audience": "y", "jwt_jwks_url": "https://issuer.example/keys"}


async def found(check: str, now: float | None = None, **settings: Any) -> list[Finding]:
    """The findings of one check."""
    config = configuration.load({"address": "127.0.0.1:0", **settings})
    findings = await examined(config, time.time() if now is None else now)
    assert all(bool(finding.advice) == (finding.state != "ok") for finding in findings)
    return [finding for finding in findings if finding.check == check]


async def one(check: str, now: float | None = None, **settings: Any) -> Finding:
    [finding] = await found(check, now, **settings)
    return finding


def run(*flags: str) -> tuple[int, str]:
    """Exit code and output of the command; it complains about nothing else."""
    command = [sys.executable, "-m", "service", "doctor", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


async def test_a_good_deployment_is_well_and_stays_as_it_was(
    mongodb_uri: str,
    tokens: Path,
    any_token: str,  # noqa: ARG001
    account: str,
) -> None:
    """Every check is there and none fails; afterwards the database has nothing that it had not before."""
    settings = {"mongodb_uri": mongodb_uri, "tokens": tokens, "database": account}
    findings = await examined(configuration.load(settings), time.time())
    checks = ["config", "tls", "auth", "database", "clock", "version", "topology", "indexes", "write"]
    assert [finding.check for finding in findings] == checks
    assert not [finding for finding in findings if finding.state == "fail"]
    async with AsyncMongoClient(mongodb_uri) as client:
        assert account not in await client.list_database_names()


def test_the_outcome_is_a_table_and_an_exit_code(mongodb_uri: str, tokens: Path, any_token: str) -> None:  # noqa: ARG001
    """One line a check, the advice below it; 0 when none failed."""
    code, text = run("--mongodb-uri", mongodb_uri, "--tokens", str(tokens), "--database", "doctor")
    assert code == 0
    assert [line.split()[1] for line in text.splitlines() if "->" not in line][-1] == "write"


def test_a_failure_is_told_as_json_too(tokens: Path, any_token: str) -> None:  # noqa: ARG001
    """Exit code 1 and the same findings, while the database is away: a sentence, no trace, no secret."""
    uri = NOBODY_LISTENS.replace("mongodb://", "mongodb://ann:hunter2@")
    code, text = run("--json", "--mongodb-uri", uri, "--tokens", str(tokens), "--store-timeout", "1")
    told = json.loads(text)
    assert (code, told["ok"]) == (1, False)
    last = told["findings"][-1]
    assert (last["check"], last["state"]) == ("database", "fail")
    assert last["advice"]
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"address": "0.0.0.0:1"}, "--tls-cert"),
        ({"address": "nonsense"}, "--address"),
        ({"tls_cert": "/nowhere"}, "--tls-key"),
        ({"tls_cert": "/nowhere", "tls_key": "/nowhere"}, "--tls-cert /nowhere cannot be read"),
        ({"token_keys": "/nowhere"}, "--token-keys"),
        ({"jwt_issuer": "x"}, "--jwt-audience"),
        ({**JWTS, "jwt_algorithms": "HS256"}, "--jwt-algorithms: expected some of"),
        ({**JWTS, "jwt_jwks_url": "http://issuer.example/keys"}, "--jwt-jwks-url: expected https://"),
        ({**JWTS, "jwt_jwks_url": "https://[issuer"}, "--jwt-jwks-url: expected https://"),
        ({"ops_address": "9464"}, "--ops-address 9464: expected host:port"),
        ({"audit_file": "/nowhere/audit"}, "--audit-file /nowhere/audit cannot be written: No such file"),
        ({"audit_file": "/"}, "--audit-file / cannot be written: Is a directory"),
        ({"linked": "/nowhere"}, "/nowhere"),
    ],
)
async def test_settings_that_stop_a_start(setting: dict[str, str], word: str, tmp_path: Path) -> None:
    """The sentence is that of the start, and names the flag."""
    findings = await found("config", data_dir=tmp_path, **setting)
    assert {finding.state for finding in findings} == {"fail"}
    assert any(word in finding.sentence for finding in findings)


async def test_an_audit_file_is_not_made(tmp_path: Path) -> None:
    """One that may be made and one that is there are well, and stay as they were."""
    (tmp_path / "old").write_text("a line\n")
    for name in ("new", "old"):
        assert (await one("config", data_dir=tmp_path, audit_file=tmp_path / name)).state == "ok"
    assert [each.name for each in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "a line\n"


async def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    """Whatever stands first: one run names everything that has to be mended."""
    wrong = {"ops_address": "9464", "token_keys": "/nowhere", "tls_cert": "/nowhere", "data_dir": tmp_path}
    flags = [finding.sentence.split()[0] for finding in await found("config", **wrong)]
    assert flags == ["--tls-cert", "--token-keys", "--ops-address"]


def test_a_setting_that_cannot_be_read_is_a_finding() -> None:
    """An unknown or wrong value is told with its source, and nothing else is looked at."""
    code, text = run("--workers", "0")
    [line, _] = text.splitlines()
    assert code == 1
    assert line.startswith("fail  config  workers: ")
    assert "--workers" in line


@pytest.mark.parametrize(("days", "state"), [(-60, "ok"), (-20, "warn"), (2, "fail")])
async def test_certificates_are_looked_at_before_they_expire(days: int, state: str, tmp_path: Path) -> None:
    """Thirty days before its end a certificate is a warning, after it a failure; that of the CA likewise."""
    authority = Authority()
    pair = authority.client("server", lives=timedelta(days=1))
    certificate, key = pair.write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    files = {"tls_cert": certificate, "tls_key": key, "tls_client_ca": tmp_path / "ca.pem"}
    findings = await found("tls", time.time() + days * DAY, data_dir=tmp_path, **files)
    assert [finding.state for finding in findings] == [state, state]
    assert [finding.sentence.split()[0] for finding in findings] == ["--tls-cert", "--tls-client-ca"]


@pytest.mark.parametrize(("days", "state"), [(0, "ok"), (25, "warn"), (40, "fail")])
async def test_tokens_are_looked_at_before_they_expire(days: int, state: str, tmp_path: Path) -> None:
    """A week before its end a token is a warning; when all have expired nobody can call."""
    file = tmp_path / "tokens"
    now = time.time()
    expires = token_file.expiry("30d", datetime.now(UTC))
    token_file.add(file, "acme", ("read",), expires)
    finding = await one("auth", now + days * DAY, tokens=file, data_dir=tmp_path)
    assert finding.state == state
    token_file.add(file, "acme", ("read",))
    expected = "ok" if state == "ok" else "warn"
    assert (await one("auth", now + days * DAY, tokens=file, data_dir=tmp_path)).state == expected


@pytest.mark.parametrize("content", [None, "", "nonsense\n"])
async def test_a_token_file_that_lets_nobody_in(content: str | None, tmp_path: Path) -> None:
    """Absent, empty or broken: a failure that names the flag."""
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)
    finding = await one("auth", tokens=file, data_dir=tmp_path)
    assert finding.state == "fail"
    assert "--tokens" in finding.sentence


async def test_the_keys_of_an_issuer_are_fetched(tmp_path: Path) -> None:
    """An issuer that answers with keys is well; one that is away, or sends none, is a failure."""
    async with issuing() as issuer:
        flags = {"data_dir": tmp_path, **issuer.flags}
        assert (await one("auth", **flags)).state == "ok"
        issuer.answer = {"text": "{}"}
        assert (await one("auth", **flags)).state == "fail"
    assert (await one("auth", **flags)).state == "fail"


async def test_without_tokens_only_a_trial_is_possible(tmp_path: Path) -> None:
    """It is said, and no token is made for it."""
    assert (await one("auth", data_dir=tmp_path)).state == "warn"
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("skew", "took", "state"),
    [
        (0.2, 0.1, "ok"),
        (-0.9, 0.1, "ok"),
        (3, 4.5, "ok"),
        (3, 0.1, "warn"),
        (-3, 0.1, "warn"),
        (60, 1, "fail"),
    ],
)
def test_clocks_that_are_apart(skew: float, took: float, state: str) -> None:
    """Either way; what the question took is no skew."""
    assert clock(skew, took).state == state


@pytest.mark.parametrize(
    ("hello", "state", "word"),
    [
        ({"setName": "rs", "primary": "a:1", "hosts": ["a:1", "b:1", "c:1"]}, "ok", "members with data: 3"),
        ({"setName": "rs", "primary": "a:1", "hosts": ["a:1"]}, "warn", "members with data: 1"),
        ({"setName": "rs", "hosts": ["a:1", "b:1", "c:1"]}, "fail", "no primary"),
        ({"msg": "isdbgrid"}, "warn", "sharded"),
        ({}, "fail", "standalone"),
    ],
)
def test_topologies(hello: dict[str, Any], state: str, word: str) -> None:
    """Three members and a primary are well; others are told by what they lack."""
    finding = topology(hello)
    assert finding.state == state
    assert word in finding.sentence


@pytest.mark.parametrize(
    ("found", "state"), [([5, 0, 31, 0], "fail"), ([6, 0, 5, 0], "ok"), ([8, 2, 0, -99], "ok")]
)
def test_versions(found: list[int], state: str) -> None:
    """From 6.0 on."""
    assert version(found).state == state


async def test_a_filled_collection_without_its_indexes(
    mongodb_uri: str, tmp_path: Path, account: str
) -> None:
    """They are named, and the command that makes them; a collection without contacts needs nothing."""
    settings = {"mongodb_uri": mongodb_uri, "database": account, "data_dir": tmp_path}
    assert (await one("indexes", **settings)).state == "ok"
    async with AsyncMongoClient(mongodb_uri) as client:
        await client[account]["contacts"].insert_one({"_id": "x"})
        finding = await one("indexes", **settings)
        await client.drop_database(account)
    assert finding.state == "fail"
    assert "account_fingerprint_trusted" in finding.sentence
    assert "contactservice migrate" in finding.advice


async def test_an_index_that_differs_is_told_with_what_differs(
    mongodb_uri: str, tmp_path: Path, account: str
) -> None:
    """A collation keeps other texts apart than ours: the finding says so, and to drop it."""
    keys = [("account", 1), ("fingerprint", 1), ("trusted", 1)]
    async with AsyncMongoClient(mongodb_uri) as client:
        await client[account]["contacts"].create_index(keys, unique=True, collation={"locale": "en"})
        finding = await one("indexes", mongodb_uri=mongodb_uri, database=account, data_dir=tmp_path)
        await client.drop_database(account)
    assert finding.state == "fail"
    assert "has a collation" in finding.sentence
    assert "drop it" in finding.advice


async def test_a_standalone_and_a_user_who_may_only_read(guarded: str, tmp_path: Path) -> None:
    """No replica set, no right to write: two failures, each with its way out, and nothing was left."""
    uri = f"mongodb://ann:hunter2@{guarded}/"
    config = configuration.load({"mongodb_uri": uri, "data_dir": tmp_path})
    findings = {finding.check: finding for finding in await examined(config, time.time())}
    assert findings["topology"].state == findings["write"].state == "fail"
    assert "standalone" in findings["topology"].sentence
    assert "readWrite" in findings["write"].advice
    assert "hunter2" not in str(findings)


async def test_a_database_that_does_not_know_us(guarded: str, tmp_path: Path) -> None:
    """Wrong credentials and none are told apart from a database that is away."""
    wrong = await one("database", mongodb_uri=f"mongodb://ann:wrong@{guarded}/", data_dir=tmp_path)
    assert wrong.state == "fail"
    assert wrong.sentence.startswith("it does not take the credentials of --mongodb-uri")
    unnamed = await one("indexes", mongodb_uri=f"mongodb://{guarded}/", data_dir=tmp_path)
    assert (unnamed.state, unnamed.sentence) == (
        "fail",
        "the user of the URI may not do that, or it names none",
    )


async def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    """Without a URI the own mongod is looked at: its directory, and the program itself; none is started."""
    (tmp_path / "file").touch()
    finding = await one("database", data_dir=tmp_path / "file" / "data")
    assert finding.state == "fail"
    assert "--data-dir" in finding.sentence
    assert (await one("database", data_dir=tmp_path, mongod="/nowhere")).state == "fail"
    assert (await one("database", data_dir=tmp_path / "new")).state == "ok"
    assert not (tmp_path / "new" / "mongod.lock").exists()
