"""The seed's ``auth_provider``, which gives a run its Spark session and SQL provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.modules import FunctionNotFoundError, import_module
from odibi_nb.core.protocols import Session
from odibi_nb.core.text.redaction import error_text, shown
from odibi_nb.errors import ConfigurationError, ManifestError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.model.manifest import ProjectManifest


def named_provider(manifest: ProjectManifest, env: str, name: str) -> Callable[..., Any]:
    """Import the provider that an environment names as ``module:function``.

    Raises:
        ManifestError: if it does not exist; the message names the module or function.
    """
    module, _, function = name.partition(":")
    where = f"$.environments.{env}.auth_provider"
    try:
        provider = getattr(import_module(module), function or "auth_provider", None)
    except FunctionNotFoundError as exc:
        raise ManifestError(str(manifest.path), [Problem(where, str(exc))]) from exc
    if not callable(provider):
        message = f"expected 'module:function', found {name!r}"
        raise ManifestError(str(manifest.path), [Problem(where, message)])
    return provider  # type: ignore[no-any-return]


def authenticated(
    provider: Callable[..., Any], *, project: str, env: str, repo_path: str | None
) -> Session:
    """Call *provider* with the seed's arguments, and return its Spark session and SQL provider.

    Raises:
        ConfigurationError: if the provider raises, or does not return a dict.
    """
    try:
        found = provider(
            env=env,
            repo_path=repo_path,
            logger_metadata={"project": project, "stage": "Bootstrap"},
        )
    except (Exception, SystemExit) as exc:
        raise ConfigurationError("auth_provider", [f"raised {error_text(exc)}"]) from exc
    if not isinstance(found, Mapping):  # user code, which may not match its type
        message = f"expected a dict with 'spark' and 'sql_provider', found {shown(found)}"
        raise ConfigurationError("auth_provider", [message])
    return Session(spark=found.get("spark"), sql_provider=found.get("sql_provider"))
