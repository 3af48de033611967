"""What an adapter ships, as `save_pretrained` sees it, without the head."""

from __future__ import annotations

from peft import PeftModel, get_peft_model_state_dict
from torch import Tensor

from spaces.inventory import Inventory
from trainables.inventory import inside


def adapter_tensors(model: PeftModel, inventory: Inventory) -> dict[str, Tensor]:
    """The tensors of the active adapter, by name."""
    state: dict[str, Tensor] = get_peft_model_state_dict(
        model, adapter_name=model.active_adapter, save_embedding_layers=False
    )
    return {
        name: tensor
        for name, tensor in state.items()
        if not inside(name.removeprefix("base_model.model."), inventory.head_modules)
    }


def adapter_bytes(model: PeftModel, inventory: Inventory) -> int:
    """Tensor bytes of `adapter_tensors`."""
    return sum(tensor.nbytes for tensor in adapter_tensors(model, inventory).values())
