"""What an adapter trains and ships."""

from __future__ import annotations

from peft import PeftModel, get_peft_model_state_dict
from torch import Tensor, nn

from spaces.model.inventory import Inventory
from trainables.adapters.attach import base_name, trained_parameters
from trainables.base_model.inventory import inside


def parameter_groups(model: nn.Module, inventory: Inventory) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What trains: the adapter's parameters and the head's."""
    adapter, head = trained_parameters(model, inventory)
    return list(adapter.values()), list(head.values())


def adapter_tensors(model: PeftModel, inventory: Inventory) -> dict[str, Tensor]:
    """The tensors of the active adapter as `save_pretrained` names them, without the head."""
    state: dict[str, Tensor] = get_peft_model_state_dict(
        model, adapter_name=model.active_adapter, save_embedding_layers=False
    )
    return {
        name: tensor for name, tensor in state.items() if not inside(base_name(model, name), inventory.head_modules)
    }


def adapter_bytes(model: PeftModel, inventory: Inventory) -> int:
    """Tensor bytes of `adapter_tensors`."""
    return sum(tensor.nbytes for tensor in adapter_tensors(model, inventory).values())
