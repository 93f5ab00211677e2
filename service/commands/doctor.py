"""`contactservice doctor`: looks at all that a service with these settings needs, and leaves it as it was."""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import uvloop

from service.commands.options import add_settings, settings_of
from service.config import Config, ConfigInvalid
from service.ops.findings import FAIL, Finding, fail, ok
from service.rpc import examination as listener
from service.rpc import server
from service.storage import examination as database
from service.storage.connection import MongodbUriInvalid
from service.storage.linked_rows import LinkedFileInvalid
from service.storage.mongod import EmbeddedMongod, MongodUnavailable

_DESCRIPTION = """Checks config, certificates, credentials, data directory, and the database: clock, version,
topology, indexes, and whether it takes a write (in a collection that is dropped at once). Takes the settings
of `serve` and starts nothing. Exit code 1 when a check failed; warnings do not count."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "check everything that `serve` with the same settings needs"
    command = commands.add_parser("doctor", help=text, description=_DESCRIPTION, allow_abbrev=False)
    command.set_defaults(command=_doctor)
    command.add_argument("--json", action="store_true", help="the findings as JSON")
    add_settings(command)


def _doctor(options: argparse.Namespace) -> None:
    findings = _findings(options)
    is_well = all(finding.state != FAIL for finding in findings)
    if options.json:
        print(json.dumps({"ok": is_well, "findings": [asdict(each) for each in findings]}, indent=2))
    else:
        _show(findings)
    if not is_well:
        sys.exit(1)


def _findings(options: argparse.Namespace) -> list[Finding]:
    try:
        config, _ = settings_of(options)
    except ConfigInvalid as error:
        return [fail("config", str(error), "correct it there; nothing else was looked at")]
    return uvloop.run(examined(config, time.time()))


async def examined(config: Config, now: float) -> list[Finding]:
    """All findings, in the order in which they are best mended; `now` in Unix seconds."""
    findings = _settings(config)
    if any(finding.state == FAIL for finding in findings):
        # Certificates and credentials are read by these settings.
        findings.append(fail("listener", "not looked at", "mend the settings first"))
    else:
        findings += [*listener.tls(config, now), *await listener.auth(config, now)]
    if config.mongodb_uri is None:
        return [*findings, _own_database(config)]
    try:
        uri = config.mongodb_uri.get_secret_value()
        return findings + await database.examine(uri, config.database, config.store_timeout)
    except MongodbUriInvalid as error:
        return [*findings, fail("database", str(error), "correct --mongodb-uri")]


def _settings(config: Config) -> list[Finding]:
    try:
        server.rules(config)
    except LinkedFileInvalid as error:
        return [fail("config", str(error), "correct the file of --linked")]
    return listener.settings(config)


def _own_database(config: Config) -> Finding:
    place = config.data_dir.resolve()
    if not _is_writable(place):
        return fail(
            "database", f"--data-dir {place} cannot be written", "give the user of the service that right"
        )
    try:
        version = EmbeddedMongod(place, config.mongod).version
    except MongodUnavailable as error:
        return fail("database", str(error), "name a database with --mongodb-uri, or a mongod with --mongod")
    return ok("database", f"none is named: `serve` starts mongod {version} on {place}, for trials")


def _is_writable(folder: Path) -> bool:
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _show(findings: list[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        print(f"{finding.state:<4}  {finding.check:<{width}}  {finding.sentence}")
        if finding.advice:
            print(f"{'':<{6 + width}}  -> {finding.advice}")
