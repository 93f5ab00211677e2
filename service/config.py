"""The settings of the server: flags win over the environment, that over a TOML file, that over defaults."""

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from service.sources import CONFIG_FILE, ENVIRONMENT_PREFIX, MONGODB_URI, OF_THE_CLIENT, Sources, variables

# Of the settings that are being read: pydantic asks a class method for its sources.
_file: ContextVar[Path | None] = ContextVar("file", default=None)


def _rate(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(s|min|h)(:[1-9][0-9]{0,8})?", text):
        raise ValueError("expected a rate as 100/s, 600/min, 6/h or, with what may come at once, 100/s:500")
    return text


def _database(name: str) -> str:
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f/\\.\"$*<>:|?]+", name) or len(name.encode()) > 63:
        raise ValueError('expected 1 to 63 bytes without spaces and / \\ . " $ * < > : | ?')
    if name in {"admin", "config", "local"}:
        raise ValueError("admin, config and local are MongoDB's own, expected another name")
    return name


def _uri(uri: SecretStr) -> SecretStr:
    if not uri.get_secret_value().strip():
        raise ValueError("is empty; name a database, or take it away for a mongod of our own")
    return uri


Rate = Annotated[str, AfterValidator(_rate)]


class ConfigInvalid(Exception):
    """A setting is unknown or wrong; the sentence names it."""


class Config(BaseSettings):
    """Every setting, with its default. The descriptions are the help of the flags."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid")

    address: str = Field("127.0.0.1:50051", description="host:port to serve on; port 0 picks a free one")
    mongodb_uri: Annotated[SecretStr, AfterValidator(_uri)] | None = Field(
        None,
        description="a MongoDB >= 6.0 replica set; without it a mongod of our own is started",
        validation_alias=AliasChoices(*variables("mongodb_uri"), "mongodb_uri"),
    )
    database: Annotated[str, AfterValidator(_database)] = Field(
        "contactservice", description="name of the database"
    )
    data_dir: Path = Field(
        Path(".contactservice/data"), description="where the own mongod and the dev token live"
    )
    mongod: Path | None = Field(None, description="the mongod to start when there is no --mongodb-uri")
    tokens: Path | None = Field(
        None, description="token file; without it or JWTs one dev token, on loopback only"
    )
    token_keys: Path | None = Field(
        None,
        description="keys that sign page tokens, one of >= 64 hex digits a line; default: in the database",
    )
    workers: Annotated[int, Field(ge=1)] = Field(
        1, description="processes that serve on the one port; limits of a process hold in each"
    )
    insecure_bind: bool = Field(
        default=False, description="serve without TLS on an address that is not loopback"
    )
    tls_cert: Path | None = Field(None, description="certificate chain to serve TLS with, PEM")
    tls_key: Path | None = Field(None, description="key of --tls-cert, PEM without a password")
    tls_client_ca: Path | None = Field(
        None, description="ask clients for certificates of this CA, PEM; --tokens says what each may"
    )
    jwt_issuer: str | None = Field(None, description="take JWTs of this issuer (claim iss)")
    jwt_audience: str | None = Field(None, description="what JWTs must be made for (claim aud)")
    jwt_jwks_url: str | None = Field(
        None, description="where the issuer has its keys: https, loopback or a file"
    )
    jwt_algorithms: str = Field(
        "RS256,PS256,ES256,ES384,EdDSA", description="signatures that JWTs may have, public keys only"
    )
    jwt_account_claim: str = Field("account", description="claim of a JWT: account, list of them or '*'")
    jwt_scopes_claim: str = Field("scope", description="claim of a JWT: scopes as a list or with spaces")
    ready_file: Path | None = Field(None, description="written as JSON once the service serves")
    reflection: bool = Field(default=True, description="serve gRPC reflection")
    store_timeout: Annotated[float, Field(gt=0)] = Field(
        5.0, description="seconds for one database operation"
    )
    batching: bool = Field(
        default=True, description="send what concurrent calls want of the database together"
    )
    stall_timeout: Annotated[float, Field(gt=0)] = Field(
        30.0, description="seconds that a stream waits for a reader that takes nothing"
    )
    export_slots: Annotated[int, Field(ge=1)] = Field(16, description="exports at once in this process")
    export_slots_per_account: Annotated[int, Field(ge=1)] = Field(
        4, description="exports at once for one account"
    )
    watch_slots: Annotated[int, Field(ge=1)] = Field(16, description="watches at once in this process")
    watch_slots_per_account: Annotated[int, Field(ge=1)] = Field(
        4, description="watches at once for one account"
    )
    drain_delay: Annotated[float, Field(ge=0)] = Field(
        3.0, description="seconds after SIGTERM in which the service still takes calls, but is not ready"
    )
    drain_timeout: Annotated[float, Field(ge=0)] = Field(
        15.0, description="seconds that calls under way then have to end"
    )
    calls_in_flight: Annotated[int, Field(ge=1)] = Field(1024, description="calls at once in this process")
    calls_in_flight_per_account: Annotated[int, Field(ge=1)] | None = Field(
        None, description="calls at once of one account; default: those of the process"
    )
    rate_calls: Rate | None = Field(
        None, description="calls of one account, as 100/s, 600/min or, with what may come at once, 100/s:500"
    )
    rate_deletes: Rate | None = Field(None, description="contacts that one account may delete, likewise")
    rate_exports: Rate | None = Field(None, description="exports that one account may start, likewise")
    memory_limit: ByteSize | None = Field(
        None, description="memory of this process, as 512MiB; default: its part of the control group's"
    )
    ops_address: str | None = Field(
        None, description="host:port of /livez, /readyz and /metrics; port 0 picks a free one; default: none"
    )
    audit_file: Path | None = Field(
        None, description="where audit lines are appended; without it they stand among the log lines"
    )
    log_format: Literal["console", "json"] = Field("console", description="how log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="from which level on")

    linked: Path | None = Field(
        None, description="TOML file of the collections whose rows go with a contact (docs/deletion.md)"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (not a source of ours)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (nor this)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = _file.get()
        toml = (TomlConfigSettingsSource(settings_cls, file),) if file else ()
        return init_settings, env_settings, *toml


def load(flags: Mapping[str, Any], file: Path | None = None) -> Config:
    """The settings, with the flags that were given; raises ConfigInvalid.

    Without a file, CONTACTSERVICE_CONFIG may name it.
    """
    return loaded(flags, file)[0]


def loaded(flags: Mapping[str, Any], file: Path | None = None) -> tuple[Config, Sources]:
    """The settings and where they come from; raises ConfigInvalid."""
    _check_environment()
    file = _named_file(file)
    try:
        sources = Sources.read(flags, os.environ, file)
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"cannot read the configuration file {file}: {error}") from error
    _file.set(file)
    try:
        return Config(**flags), sources
    except ValidationError as error:
        raise ConfigInvalid("; ".join(_sentence(each, sources) for each in error.errors())) from None


def environment_of(config: Config) -> dict[str, str]:
    """An environment in which `load({})` gives these settings: for a process of ours, as it holds secrets."""
    kept = {name: value for name, value in os.environ.items() if not _is_ours(name.upper())}
    values = {name: getattr(config, name) for name in Config.model_fields}
    told = {name: _text(value) for name, value in values.items() if value is not None}
    return kept | {ENVIRONMENT_PREFIX + name.upper(): text for name, text in told.items()}


def _is_ours(variable: str) -> bool:
    return variable.startswith(ENVIRONMENT_PREFIX) or variable == MONGODB_URI


def _text(value: Any) -> str:
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _named_file(flag: Path | None) -> Path | None:
    variable = next((name for name in os.environ if name.upper() == CONFIG_FILE), "")
    named = os.environ.get(variable)
    file = flag or (Path(named) if named else None)
    if file and not file.is_file():
        raise ConfigInvalid(f"{'--config' if flag else variable} names {file}, which is no file")
    return file


def _check_environment() -> None:
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Config.model_fields} | {CONFIG_FILE}
    for name in os.environ:
        # They count in any case, as everywhere in the settings.
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known | OF_THE_CLIENT:
            raise ConfigInvalid(f"{name} is no setting; known are {', '.join(sorted(known))}")


def _sentence(error: Any, sources: Sources) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{name}: is no setting (file {sources.file})"
    if name.upper().endswith(MONGODB_URI):
        # By whichever of its variables it was looked for.
        name = "mongodb_uri"
    told = error["msg"].removeprefix("Value error, ")
    return f"{name}: {told[:1].lower()}{told[1:]} ({sources.of(name)})"
