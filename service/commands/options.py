"""The settings as flags of a command, and the configuration that they, environment and file make."""

import argparse
from pathlib import Path

from service import config as configuration
from service.config import Config
from service.ops import logs
from service.sources import Sources


def add_settings(command: argparse.ArgumentParser) -> None:
    """A flag for each setting; one that is on by default has a --no- flag."""
    text = "a TOML file of these settings, named as here, with _ for -; flags and environment win over it"
    command.add_argument("--config", dest="config_file", type=Path, help=text, metavar="FILE")
    for name, field in Config.model_fields.items():
        flag = "--" + name.replace("_", "-")
        default = argparse.SUPPRESS
        if field.annotation is not bool:
            shown = "" if field.default is None else f" (default: {field.default})"
            command.add_argument(flag, help=f"{field.description}{shown}", default=default, metavar="VALUE")
        elif field.default:
            flag = "--no-" + name.replace("_", "-")
            text = f"do not {field.description}"
            command.add_argument(flag, dest=name, action="store_false", help=text, default=default)
        else:
            command.add_argument(flag, action="store_true", help=field.description, default=default)


def config_of(options: argparse.Namespace) -> Config:
    """The settings of a command, which also say how it logs from now on; raises ConfigInvalid."""
    config, _ = settings_of(options)
    logs.configure(config.log_format, config.log_level)
    return config


def settings_of(options: argparse.Namespace) -> tuple[Config, Sources]:
    """The settings of a command and where each comes from; raises ConfigInvalid."""
    flags = {name: value for name, value in vars(options).items() if name in Config.model_fields}
    return configuration.loaded(flags, options.config_file)
