"""Our tuners enter PEFT as methods of their own."""

from __future__ import annotations

from peft import get_peft_model

from tests.trainables.tiny_models import BERT


def test_methods_stay_registered_once() -> None:
    import importlib

    import trainables.methods.sparta as module

    kept = dict(vars(module))
    importlib.reload(module)
    try:
        model = get_peft_model(BERT.model(), module.SpartaConfig(target_modules=["query"], density=0.5))
        assert type(model.base_model) is kept["SpartaModel"]
    finally:
        vars(module).update(kept)  # other tests hold these classes
