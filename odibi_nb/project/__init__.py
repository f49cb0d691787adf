"""The original framework's address of `ProjectManifest` and its parts."""

from odibi_nb.api import ProjectManifest
from odibi_nb.core.model.manifest import LayerConfig

__all__ = ["LayerConfig", "ProjectManifest"]
