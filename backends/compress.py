"""Network slimming: narrower networks that answer nearly as before.

Z. Liu, J. Li, Z. Shen, G. Huang, S. Yan, C. Zhang, "Learning Efficient Convolutional Networks through Network Slimming" (ICCV
2017): train with λ Σ|γ| over the scales of all batch norms added to the loss (eq. 1; `TrainingPlan.gamma_l1`), take out the
channels with the smallest |γ| over the whole network, fine-tune. Seed A's figures: λ = 0.001, 0.84 of the channels, at least 0.01
of a layer's channels stay. Which weights belong to a channel is followed through the network by torch-pruning (G. Fang et al.,
"DepGraph", CVPR 2023).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from schemas.checks import check_range
from schemas.errors import InvalidField

__all__ = ["adapt_shapes", "count_parameters", "slim_network", "slim_to"]

_Network = TypeVar("_Network", bound=nn.Module)
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PAPER_FLOOR, _MOST_PERCENT = 0.01, 99


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnt weights."""
    return sum(p.numel() for p in network.parameters())


def slim_network(network: _Network, example: Tensor, *, ratio: float = 0.84, floor: float = _PAPER_FLOOR) -> _Network:
    """Take out the channels of least importance, in place.

    Importance is the mean |γ| of all batch norms that a channel passes (channels joined by a shortcut go together), compared over
    the whole network. Layers without batch norm keep their outputs and lose only inputs; so do an LSTM and what a shortcut joins to
    its states.

    Args:
        network: trained with `gamma_l1`.
        example: a batch it takes, for following the channels.
        ratio: share of the channels to take out, in [0, 1).
        floor: share of its channels that a layer keeps at least; one always stays.

    Raises:
        InvalidField: if `ratio` or `floor` is outside [0, 1].
    """
    import torch_pruning as tp

    check_range("ratio", ratio, 0, 0.999)
    check_range("floor", floor, 0, 1)
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(network, example)
        measure = tp.importance.BNScaleImportance(normalizer=None)
        found = [(group, measure(group)) for group in graph.get_all_groups(root_module_types=list(_CONVS))]
        known = [(group, scores) for group, scores in found if scores is not None and not _has_states(graph, group)]
        ordered = torch.cat([scores for _, scores in known]).sort().values
        limit = ordered[min(int(ratio * len(ordered)), len(ordered) - 1)]
        for group, scores in known:
            n_out = min(int((scores < limit).sum()), len(scores) - max(1, math.ceil(floor * len(scores))))
            if n_out > 0:
                first = group[0].dep
                graph.get_pruning_group(first.target.module, first.handler, scores.argsort()[:n_out].tolist()).prune()
    return network


def _has_states(graph: Any, group: Any) -> bool:
    return any(isinstance(dep.target.module, nn.LSTM) and graph.is_out_channel_pruning_fn(dep.handler) for dep, _ in group)


def slim_to(network: _Network, example: Tensor, *, gone: float = 0.84, floor: float | None = None) -> _Network:
    """Return a copy slimmed by the least ratio, to a hundredth, that takes at least the share `gone` of its parameters.

    Without a `floor`, it is 0.5 √(1 − gone): were all layers alike, each would keep √(1 − gone) of its channels; with the paper's
    floor of 0.01 whole blocks shrink to two channels, and what is wide around them still costs time. Where it does not let so
    many go, since layers are not alike, half of it is tried, and so on down to the paper's.

    Raises:
        InvalidField: if `gone` is not in [0, 1), or no floor lets so many go.
    """
    check_range("gone", gone, 0, 0.999)
    most = (1 - gone) * count_parameters(network)
    for share in _list_floors(gone) if floor is None else [floor]:
        slimmest = slim_network(deepcopy(network), example, ratio=_MOST_PERCENT / 100, floor=share)
        if count_parameters(slimmest) <= most:
            return _slim_least(network, example, share, most, slimmest)
    raise InvalidField("gone", f"at most {1 - count_parameters(slimmest) / count_parameters(network):.3f}", gone)


def _list_floors(gone: float) -> list[float]:
    """Return the floors to try, from 0.5 √(1 − gone) down by halves to the paper's."""
    floors = [0.5 * math.sqrt(1 - gone)]
    while floors[-1] > _PAPER_FLOOR:
        floors.append(max(floors[-1] / 2, _PAPER_FLOOR))
    return floors


def _slim_least(network: _Network, example: Tensor, floor: float, most: float, slimmest: _Network) -> _Network:
    """Return a copy with at most `most` parameters by the least ratio; `slimmest` is the one of the largest."""
    low, high = 0, _MOST_PERCENT
    while high - low > 1:
        ratio = (low + high) // 2
        slim = slim_network(deepcopy(network), example, ratio=ratio / 100, floor=floor)
        if count_parameters(slim) <= most:
            slimmest, high = slim, ratio
        else:
            low = ratio
    return slimmest


def adapt_shapes(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the layers of `network` the widths that the weights in `state` have, so that these can be loaded.

    Raises:
        ValueError: if a weight of a layer is missing or has another number of dimensions.
    """
    for name, module in network.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for key, tensor in own:
            wanted = state.get(f"{name}.{key}" if name else key)
            if not tensor.dim():
                continue
            if wanted is None or wanted.dim() != tensor.dim():
                raise ValueError(f"{name}.{key} is missing or of another kind")
            if wanted.shape != tensor.shape:
                fresh = tensor.new_zeros(wanted.shape)
                setattr(module, key, nn.Parameter(fresh) if isinstance(tensor, nn.Parameter) else fresh)
        _tell_widths(module)


def _tell_widths(module: nn.Module) -> None:
    """Set what a layer says of its widths by its weights."""
    if isinstance(module, _CONVS):
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _NORMS):
        module.num_features = len(module.weight)
    elif isinstance(module, nn.LSTM):
        own = dict(module.named_parameters())
        module.hidden_size, module.input_size = own["weight_hh_l0"].shape[1], own["weight_ih_l0"].shape[1]
