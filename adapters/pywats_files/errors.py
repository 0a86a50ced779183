"""What can go wrong with a folder and its files."""

from __future__ import annotations

__all__ = [
    "FileChanged",
    "FileNotReady",
    "FileRefused",
    "FilesError",
    "FilesNotInstalled",
    "FolderInUse",
    "FolderLost",
]


class FilesError(Exception):
    """The base of what this package raises."""


class FilesNotInstalled(FilesError, ImportError):
    """A package of the extra `files` is missing; the text says how to get it."""


class FolderLost(FilesError):
    """The folder is not there (any more), or cannot be read: a share that is away, for instance."""


class FolderInUse(FilesError):
    """Another watcher has the folder."""


class FileRefused(FilesError):
    """A file's content is not acceptable: it goes to `failed`, with this error beside it."""


class FileChanged(FilesError):
    """A file was written to after it was taken as finished."""


class FileNotReady(FilesError):
    """Raised by a converter for a file that cannot be converted yet: it is tried again later."""
