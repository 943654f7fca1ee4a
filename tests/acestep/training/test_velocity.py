"""The forward that trains: the stock modules' numbers and gradients, for whole models and for LoRA layers."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from acestep.errors import AdapterError
from acestep.training import lora
from acestep.training.lora import LoraShape, LowRank
from acestep.training.velocity import Velocity, half_copy
from tests.support.closeness import FORWARD, assert_close, rounding
from tests.support.tiny_checkpoints import tiny_modules

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
ALL = (*ATTENTION, "gate_proj", "up_proj", "down_proj")


def transformer(**kind: bool) -> nn.Module:
    torch.manual_seed(1)
    return tiny_modules(**kind)["transformer"]


def inputs(net: nn.Module, frames: int, tokens: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noisy latents, levels, conditions and contexts of three clips."""
    width = net.config.encoder_hidden_size or net.config.hidden_size
    return torch.randn(3, frames, 8), torch.rand(3), torch.randn(3, tokens, width), torch.randn(3, frames, 16)


def stock(net: nn.Module, noisy: Tensor, t: Tensor, condition: Tensor, context: Tensor) -> Tensor:
    return net(noisy, t, t, condition, context, return_dict=False)[0]


def shape(**changes: object) -> LoraShape:
    return LoraShape(**{"rank": 2, "alpha": 4.0, "targets": ALL, **changes})  # type: ignore[arg-type]


def filled(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """The same, with numbers of chance: an untrained adapter changes nothing."""
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.1)
    return parameters


def assert_same_slopes(ours: Tensor, theirs: Tensor, parameters: list[nn.Parameter], sums: int) -> None:
    first, second = (torch.autograd.grad(made.square().mean(), parameters) for made in (ours, theirs))
    for mine, other in zip(first, second, strict=True):
        assert_close(mine, other, rounding(FORWARD * sums))


@pytest.mark.parametrize(("turbo", "xl"), [(True, False), (False, True)])
@pytest.mark.parametrize("frames", [7, 40])
def test_a_whole_model_gets_the_stock_transformers_velocity_and_gradients(
    turbo: bool, xl: bool, frames: int
) -> None:
    net = transformer(turbo=turbo, xl=xl).requires_grad_(True)
    given = inputs(net, frames)
    ours, theirs = Velocity(net)(*given), stock(net, *given)
    assert_close(ours, theirs, rounding(FORWARD))
    # a weight's slope sums over all frames
    assert_same_slopes(ours, theirs, list(net.parameters()), 3 * frames)


@pytest.mark.parametrize(("turbo", "xl"), [(True, False), (False, True)])
@pytest.mark.parametrize("dora", [False, True])
def test_adapters_get_the_stock_transformers_velocity_and_gradients(
    turbo: bool, xl: bool, dora: bool
) -> None:
    net = transformer(turbo=turbo, xl=xl)
    parameters = filled(lora.attach(net, shape(dora=dora)))
    given = inputs(net, 40)
    ours, theirs = Velocity(net)(*given), stock(net, *given)
    assert_close(ours, theirs, rounding(FORWARD))
    assert_same_slopes(ours, theirs, parameters, 3 * 40)


def test_some_layers_give_what_a_model_of_those_layers_gives() -> None:
    net = transformer(turbo=False)
    given = inputs(net, 30)
    fewer = copy.deepcopy(net)
    fewer.layers, fewer.layer_types = nn.ModuleList([fewer.layers[1]]), [fewer.layer_types[1]]
    with torch.no_grad():
        assert_close(Velocity(net)(*given, layers=(1,)), stock(fewer, *given), rounding(FORWARD))


def test_half_precision_differs_by_rounding_only_and_trains_single_precision_weights() -> None:
    whole = transformer(turbo=False)
    half = half_copy(whole)
    given = inputs(whole, 30)
    frames = torch.ones(3, 30, dtype=torch.bool)
    frames[1, 22:] = False
    found, gradients = [], []
    for net in (whole, half):
        parameters = filled(lora.attach(net, shape()))
        found.append(Velocity(net)(*given, frames))
        slopes = torch.autograd.grad(found[-1].float().square().mean(), parameters)
        assert {slope.dtype for slope in slopes} == {torch.float32}
        gradients.append(torch.cat([slope.flatten() for slope in slopes]))
    for single, rounded in ([velocity.detach().float() for velocity in found], gradients):
        assert 0 < float((rounded - single).norm() / single.norm()) < 0.03


def test_gradient_checkpointing_changes_no_number() -> None:
    net = transformer(turbo=False)
    parameters = lora.attach(net, shape(targets=ATTENTION))
    given = inputs(net, 12)
    plain = torch.autograd.grad(Velocity(net)(*given).square().sum(), parameters)
    saving = torch.autograd.grad(
        Velocity(net, gradient_checkpointing=True)(*given).square().sum(), parameters
    )
    assert all(torch.equal(a, b) for a, b in zip(plain, saving, strict=True))


def test_padding_changes_nothing_for_the_shorter_example() -> None:
    velocity = Velocity(transformer(turbo=False))
    noisy, t, condition, context = inputs(velocity.transformer, 30, 6)
    frames, tokens = torch.ones(3, 30, dtype=torch.bool), torch.ones(3, 6, dtype=torch.bool)
    frames[0, 13:], tokens[0, 4:] = False, False
    together = velocity(noisy, t, condition, context, frames, tokens)
    alone = velocity(noisy[:1, :13], t[:1], condition[:1, :4], context[:1, :13])
    assert_close(together[:1, :13], alone, rounding(FORWARD))
    assert torch.isfinite(together).all()


def test_what_was_looked_at_without_gradients_can_be_trained_afterwards() -> None:
    net = transformer(turbo=False).requires_grad_(True)
    given = inputs(net, 87)  # a length that nothing else here has: what is kept of it is made right now
    with torch.inference_mode():
        Velocity(net)(*given)
    Velocity(net)(*given).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.layers.parameters())


def test_attach_and_detach_leave_the_transformer_bit_identical() -> None:
    net = transformer(turbo=False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    lora.attach(net, shape(dora=True))
    lora.detach(net)
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_adapter_that_fits_no_layer_is_refused_and_changes_nothing() -> None:
    net = transformer(turbo=False)
    with pytest.raises(AdapterError, match="no layer named to_nothing"):
        lora.attach(net, shape(targets=("to_nothing",)))
    assert not any(isinstance(part, LowRank) for part in net.modules())


@pytest.mark.parametrize("dora", [False, True])
def test_counted_parameters_are_those_that_are_attached(dora: bool) -> None:
    net = transformer(turbo=False)
    expected = shape(dora=dora).size(net)
    lora.attach(net, shape(dora=dora))
    assert sum(tensor.numel() for tensor in lora.state(net).values()) == expected


def in_peft(net: nn.Module, wanted: LoraShape) -> dict[str, nn.Parameter]:
    """peft's own layers put on the transformer; its parameters by our names."""
    from peft import LoraConfig, inject_adapter_in_model

    names = list(wanted.layers(net))
    settings = LoraConfig(
        r=wanted.rank,
        lora_alpha=int(wanted.alpha),
        lora_dropout=wanted.dropout,
        target_modules=names,
        use_dora=wanted.dora,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted.seed)
        inject_adapter_in_model(settings, net, "theirs")
    return {
        name.replace(".theirs", ""): parameter
        for name, parameter in net.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize("dora", [False, True])
def test_a_new_adapter_has_the_numbers_of_pefts(dora: bool) -> None:
    ours, theirs = transformer(turbo=False), transformer(turbo=False)
    wanted = shape(dora=dora, seed=7)
    lora.attach(ours, wanted)
    expected = in_peft(theirs, wanted)
    assert lora.state(ours).keys() == expected.keys()
    for name, tensor in lora.state(ours).items():
        assert_close(tensor, expected[name], rounding(1))


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_lora_layer_computes_what_pefts_computes(dora: bool, dropout: float) -> None:
    ours, theirs = transformer(turbo=False), transformer(turbo=False)
    wanted = shape(dora=dora, dropout=dropout)
    filled(lora.attach(ours, wanted))
    expected = in_peft(theirs, wanted)
    with torch.no_grad():
        for name, tensor in lora.state(ours).items():
            expected[name].copy_(tensor)
    path = "layers.1.mlp.down_proj"
    mine, other = ours.get_submodule(path), theirs.get_submodule(path)
    x = torch.randn(3, 20, mine.weight.shape[1], requires_grad=True)
    made = []
    for layer in (mine.train(), other.train()):
        torch.manual_seed(4)  # of what dropout drops
        made.append(layer(x))
    sums = math.prod(mine.weight.shape)
    assert_close(made[0], made[1], rounding(sums))
    own = {name: one for name, one in lora.named_parameters(ours) if name.startswith(f"{path}.")}
    assert len(own) == (3 if dora else 2)
    slopes = [
        torch.autograd.grad(y.square().mean(), [x, *weights])
        for y, weights in zip(made, (own.values(), [expected[name] for name in own]), strict=True)
    ]
    for one, two in zip(*slopes, strict=True):
        assert_close(one, two, rounding(sums))
