"""`contactservice config`: what is set, by what, and what a file of settings may hold."""

import argparse
import json
import re
from typing import Any

from pydantic import SecretStr

from service.commands.options import add_settings, settings_of
from service.config import Config

_MASK = "***"
_HIDDEN_OPTIONS = r"([?&](?:tlsCertificateKeyFilePassword|authMechanismProperties)=)[^&]*"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    config = commands.add_parser("config", help="show the settings and their sources, or their JSON schema")
    nouns = config.add_subparsers(required=True, metavar="command")
    text = "each setting with its value and source (flag, environment, file, default); secrets are masked"
    show = nouns.add_parser("show", help=text, description=f"Shows {text}.", allow_abbrev=False)
    show.set_defaults(command=_show)
    add_settings(show)
    schema = nouns.add_parser("schema", help="the JSON schema of the TOML file, for editors and checks")
    schema.set_defaults(command=_schema)


def shown(value: object) -> str:
    """As a person may see it: without passwords, also those inside a URI."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    uri = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if "://" not in uri:
        return _MASK if isinstance(value, SecretStr) else uri
    # Up to the last @: a password that should have been escaped is hidden whole, too.
    masked = re.sub(r"://([^:?]*):[^?]*@", rf"://\1:{_MASK}@", uri)
    return re.sub(_HIDDEN_OPTIONS, rf"\1{_MASK}", masked, flags=re.IGNORECASE)


def schema() -> dict[str, Any]:
    """The JSON schema of the TOML file."""
    found = Config.model_json_schema(by_alias=False)
    properties = {name: _without_null(each) for name, each in found["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of contactservice",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _show(options: argparse.Namespace) -> None:
    config, sources = settings_of(options)
    rows = [(name, shown(getattr(config, name)), str(sources.of(name))) for name in Config.model_fields]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, source in rows:
        print(f"{name:<{names}}  {value:<{values}}  {source}")


def _schema(_: argparse.Namespace) -> None:
    print(json.dumps(schema(), indent=2))


def _without_null(rule: dict[str, Any]) -> dict[str, Any]:
    # TOML has no null: what is absent has no line.
    kept = {name: value for name, value in rule.items() if name != "title" and value is not None}
    choices: list[dict[str, Any]] = [each for each in kept.pop("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        return choices[0] | kept
    return {"anyOf": choices, **kept} if choices else kept
