"""Reading a YAML file, with errors of one line that name the position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from spaces.errors import RequestError, one_line


class _OnceEach(yaml.SafeLoader):
    """Refuses a field that is given twice, of which PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_yaml(path: Path) -> Any:
    """Return the values in a file.

    Raises:
        RequestError: when it cannot be read, is not YAML, or names a field twice.
    """
    allowed = "allowed: a spec in YAML"
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_OnceEach)
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); allowed: a file with a spec in YAML") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path}: is not text in UTF-8; {allowed}") from None
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, one_line(error.problem)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise RequestError(f"{path}: not YAML ({where}{problem}); {allowed}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2026-99-99 is a ValueError
        raise RequestError(f"{path}: not YAML ({one_line(error)}); {allowed}") from None
