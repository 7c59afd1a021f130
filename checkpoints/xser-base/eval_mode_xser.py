"""A model in eval mode for one call, while the model itself stays as it is."""

from functools import partial
from types import MethodType

from torch import nn


def in_eval_mode(model: nn.Module) -> nn.Module:
    """A twin of `model` in eval mode: a copy of its structure, whose parameters and buffers are the model's own.

    A call that answers with the twin never changes the model's mode, nor does it meet what others make of it: another
    thread may train the model, or explain with it, meanwhile. What modules write on themselves during a pass stays
    with the twin, too. It takes a few milliseconds and no memory to speak of.
    """
    twins = {id(module): object.__new__(type(module)) for module in model.modules()}
    for module in model.modules():
        attributes = vars(module).copy()  # whole, even while a pass in another thread adds one
        state = {name: _of_twin(value, twins) for name, value in attributes.items()}
        children = {name: None if child is None else twins[id(child)] for name, child in module._modules.items()}
        vars(twins[id(module)]).update(state, _modules=children, training=False)
    return twins[id(model)]


def _of_twin(value, twins: dict[int, nn.Module]):
    """An attribute of a module as its twin has it.

    Dicts (parameters, buffers, hooks) are copied, so that the twin may change its own. What is bound to a module, as
    libraries bind a `forward` that casts or moves its inputs, is bound to its twin.
    """
    if isinstance(value, nn.Module):
        return twins.get(id(value), value)
    if isinstance(value, dict):
        return value.copy()
    if isinstance(value, MethodType):
        return MethodType(value.__func__, _of_twin(value.__self__, twins))
    if isinstance(value, partial):
        arguments = [_of_twin(each, twins) for each in value.args]
        options = {name: _of_twin(each, twins) for name, each in value.keywords.items()}
        bound = partial(_of_twin(value.func, twins), *arguments, **options)
        vars(bound).update(vars(value))
        return bound
    return value


__all__ = ["in_eval_mode"]
