"""One run of a network on tensors without memory, watched: which modules and operators run, on what, and what it costs.

The model is not touched: it runs on stand-ins for its parameters and buffers, and hooks are removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.inspect.follow import follow
from convlayers.inspect.operators import RULES, tensors_in
from convlayers.inspect.place import Place
from convlayers.ops import cost

Ints = tuple[int, ...]
CONVOLUTIONS = ("aten.convolution", "convlayers.convolution")


@dataclass
class Operator:
    """One operator as it ran.

    Attributes:
        flops: as torch.utils.flop_counter counts them.
        bytes_moved: of the tensors that it reads and writes; 0 for a view.
        convolution: the sizes, where it is one.
        padding: elements of border that its windows reach, below and above each axis, where it is a convolution.
    """

    name: str
    flops: int
    bytes_moved: int
    convolution: cost.Call | None = None
    padding: tuple[Ints, Ints] | None = None


@dataclass
class Call:
    """One call of a module, or of an operator with weights that a module with modules of its own calls as a function.

    Attributes:
        module: None for an operator.
        first: whether it is the module's first call.
        operators: those that ran inside, in modules of its own too.
        saved_bytes: kept for the backward pass.
        place: of its output; None where that sees nothing of the input, or is no tensor.
    """

    name: str
    kind: str
    depth: int
    module: nn.Module | None
    first: bool
    input_shapes: list[Ints]
    output_shape: Ints = ()
    output_bytes: int = 0
    operators: list[Operator] = field(default_factory=list)
    saved_bytes: int = 0
    place: Place | None = None

    @property
    def leaf(self) -> bool:
        return self.module is None or next(self.module.children(), None) is None

    @property
    def convolution(self) -> Operator | None:
        """The convolution that it is, if it is one layer with one."""
        found = [operator for operator in self.operators if operator.convolution is not None]
        return found[0] if self.leaf and len(found) == 1 else None


@dataclass
class Trace:
    """What was seen.

    Attributes:
        calls: in order, the model itself first.
        input_shapes: of the tensors that it was called with.
        input_size: the spatial axes of the first of them.
        peak_bytes: of the activations that are alive at once, the input's included.
    """

    calls: list[Call]
    input_shapes: tuple[Ints, ...]
    input_size: Ints
    peak_bytes: int = 0


def inputs_of(size_or_tensors: Any, batch_size: int, model: nn.Module) -> tuple[Tensor, ...]:
    """What to call a model with: the tensors given, or one of zeros of the size given, which takes no memory."""
    if isinstance(size_or_tensors, Tensor):
        return (size_or_tensors,)
    entries = tuple(size_or_tensors) if isinstance(size_or_tensors, Sequence) else ()
    if entries and all(isinstance(entry, Tensor) for entry in entries):
        return entries
    if not entries or not all(type(entry) is int for entry in entries):
        raise ArgumentTypeError(
            f"input size must be integers, channels first and without a batch, such as (3, 224, 224), or tensors; "
            f"received {size_or_tensors!r}"
        )
    if len(entries) < 2 or min(entries) < 1 or batch_size < 1:
        raise ArgumentError(
            f"input size must be channels and one size a spatial axis, each at least 1, such as (3, 224, 224); "
            f"received {entries} and a batch of {batch_size}"
        )
    like = next(iter([*model.parameters(), *model.buffers()]), torch.empty(0))
    dtype = like.dtype if like.dtype.is_floating_point else torch.float32
    return (torch.zeros((), dtype=dtype, device=like.device).expand(batch_size, *entries),)


def spatial_axes(input: Tensor) -> range:
    """The dimensions of an input that are space or time: behind batch and channels; of numbered tokens, the batch."""
    return range(2 if input.dtype.is_floating_point and input.dim() > 2 else 1, input.dim())


def trace(
    model: nn.Module, inputs: Sequence[Tensor], *, places: bool = True, training: bool = False, keeping: bool = False
) -> Trace:
    """Runs a model on stand-ins.

    Args:
        places: whether to follow what each tensor sees of the first input.
        training: in training mode; else in evaluation mode.
        keeping: with gradients, counting what is kept for the backward pass; always in training mode.

    Raises:
        ValueError: where the model refuses the input; a lazy layer that has not seen one yet.
    """
    if any(nn.parameter.is_lazy(p) for p in [*model.parameters(), *model.buffers()]):
        raise ArgumentError("model must have all its weights; received one with lazy layers. Call it once before")
    # Which storage is whose cannot be asked of real tensors that meet stand-ins: all are stand-ins.
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    state: dict[str, Tensor] = {n: fake.from_tensor(t) for n, t in [*model.named_parameters(), *model.named_buffers()]}
    stand_ins: list[Tensor] = [fake.from_tensor(t) for t in inputs]
    with fake:
        stand_ins = [t.contiguous() if 0 in t.stride() else t for t in stand_ins]
    watch = _Watch(model, stand_ins, state)
    modes = {module: module.training for module in model.modules()}
    try:
        model.train(training)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(torch.set_grad_enabled(training or keeping))
            stack.enter_context(watch.hooks())
            if training or keeping:
                stack.enter_context(torch.autograd.graph.saved_tensors_hooks(watch.pack, lambda packed: packed))
            stack.enter_context(fake)
            stack.enter_context(watch)
            try:
                torch.func.functional_call(model, state, tuple(stand_ins))
            except (DataDependentOutputException, DynamicOutputShapeException) as error:
                raise ArgumentError(
                    f"model must not decide by the values of a tensor: {type(model).__name__} is run on stand-ins that "
                    f"have none, and asks for one ({error}). Look into the part of it that does not"
                ) from error
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
                where = f" in layer {watch.stack[-1].name!r}" if watch.stack and watch.stack[-1].name else ""
                shapes = ", ".join("x".join(map(str, t.shape)) for t in inputs)
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise ArgumentError(
                    f"input must be what {type(model).__name__} takes; it refuses {shapes} (batch first){where}: "
                    f"{reason}"
                ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    if places:
        follow(watch.events, stand_ins[0], spatial_axes(stand_ins[0]))
    return watch.result()


def convolutions(found: Trace, model: nn.Module) -> Trace:
    """The same trace.

    Raises:
        ValueError: where no convolution ran.
    """
    if not any(operator.convolution for operator in found.calls[0].operators):
        kinds = ", ".join(dict.fromkeys(call.kind for call in found.calls[1:] if call.leaf)) or "no layer at all"
        raise ArgumentError(f"model must have a convolution; received {type(model).__name__}, which has {kinds}")
    return found


class _Watch(TorchDispatchMode):
    def __init__(self, model: nn.Module, inputs: list[Tensor], state: dict[str, Tensor]) -> None:
        super().__init__()
        self.model, self.calls, self.stack = model, [], []  # type: ignore[var-annotated]
        self.counts: dict[str, int] = {}
        self.events: list[tuple[Any, ...]] = []
        self.alive: list[Tensor] = list(inputs)  # so that no id is given twice
        self.inputs = inputs
        self.weights = {_storage(t) for t in state.values()}
        self.saved: set[int] = set()
        self.lives: dict[int, list[int]] = {}  # of a storage: bytes, and the operators that made it and last read it
        self.time = 0
        axes = spatial_axes(inputs[0])
        self.size = tuple(inputs[0].shape[axis] for axis in axes)
        for t in inputs:
            self._live(t)

    # --- modules ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hooks(self) -> Iterator[None]:
        """Watches the calls of every module."""
        handles = []
        for name, module in self.model.named_modules():
            handles.append(
                module.register_forward_pre_hook(
                    lambda module, args, kwargs, name=name: self._enter(name, module, args, kwargs), with_kwargs=True
                )
            )
            handles.append(module.register_forward_hook(lambda module, args, output: self._leave(output)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._open(name, type(module).__name__, module, tensors_in([args, kwargs]))

    def _open(self, name: str, kind: str, module: nn.Module | None, inputs: list[Tensor]) -> Call:
        count = self.counts[name] = self.counts.get(name, 0) + 1
        shown = name if count == 1 else f"{name}#{count}"
        call = Call(shown, kind, len(self.stack), module, count == 1, [tuple(t.shape) for t in inputs])
        self.calls.append(call)
        self.stack.append(call)
        return call

    def _leave(self, output: Any) -> None:
        call = self.stack.pop()
        tensors = tensors_in(list(output.values()) if isinstance(output, dict) else output)
        if tensors:
            self._close(call, tensors)

    def _close(self, call: Call, outputs: list[Tensor]) -> None:
        call.output_shape = tuple(outputs[0].shape)
        call.output_bytes = sum(_bytes(t) for t in outputs)
        self.events.append((call, outputs[0]))

    # --- operators ----------------------------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        known = packet in flop_registry or packet._qualified_op_name.replace("::", ".") in RULES
        if not known and func.namespace == "aten":
            with self:
                result = func.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
        out = func(*args, **kwargs)
        outputs = tensors_in(out)
        if not outputs or func.namespace == "prim":
            return out
        self.time += 1
        given = tensors_in([args, kwargs])
        for t in (*given, *outputs):
            self._live(t)
        self.alive += outputs
        named = _named(func, args, kwargs)
        operator = self._operator(func, named, args, kwargs, given, outputs, out)
        for call in self.stack:
            call.operators.append(operator)
        self.events.append((func, named, outputs))
        owner = self.stack[-1] if self.stack else None
        if operator.flops and owner is not None and not owner.leaf:
            name = packet._qualified_op_name.split("::")[1]
            name = f"conv{outputs[0].dim() - 2}d" if name == "convolution" else name
            call = self._open(f"{owner.name}.{name}".lstrip("."), name, None, given[:1])
            call.operators.append(operator)
            self.stack.pop()
            self._close(call, outputs[:1])
        return out

    def _operator(self, func: Any, named: Any, args: Any, kwargs: Any, given: Any, outputs: Any, out: Any) -> Operator:
        packet = func.overloadpacket
        name = packet._qualified_op_name.replace("::", ".")
        flops = flop_registry[packet](*args, **kwargs, out_val=out) if packet in flop_registry else 0
        read = {_storage(t) for t in given}
        is_view = not func._schema.is_mutable and any(_storage(t) in read for t in outputs)
        moved = 0 if is_view or not given else sum(_bytes(t) for t in (*given, *outputs))
        operator = Operator(name, int(flops), moved)
        if name in CONVOLUTIONS:
            operator.convolution, operator.padding = _convolution(named, outputs[0])
        return operator

    # --- memory -------------------------------------------------------------------------------------------------------

    def pack(self, tensor: Tensor) -> Tensor:
        """Counts a tensor that is kept for the backward pass, each memory once."""
        storage = _storage(tensor)
        if storage not in self.weights and storage not in self.saved:
            self.saved.add(storage)
            for call in self.stack:
                call.saved_bytes += tensor.untyped_storage().nbytes()
        return tensor

    def _live(self, tensor: Tensor) -> None:
        storage = _storage(tensor)
        if storage not in self.weights:
            self.lives.setdefault(storage, [tensor.untyped_storage().nbytes(), self.time, 0])[2] = self.time

    def result(self) -> Trace:
        changes = [0] * (self.time + 2)
        for size, born, last in self.lives.values():
            changes[born] += size
            changes[last + 1] -= size
        peak = total = 0
        for change in changes:
            total += change
            peak = max(peak, total)
        return Trace(self.calls, tuple(tuple(t.shape) for t in self.inputs), self.size, peak)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _named(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """An operator's arguments by name; those left out that have a default too."""
    names = [argument.name for argument in func._schema.arguments]
    defaults = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
    return defaults | dict(zip(names, args, strict=False)) | kwargs


def _convolution(a: dict[str, Any], out: Tensor) -> tuple[cost.Call, tuple[Ints, Ints]]:
    """The sizes of a convolution, and the border that its windows reach below and above."""
    shape, kernel, rank = a["input"].shape, tuple(a["weight"].shape[2:]), out.dim() - 2
    stride, dilation = (
        tuple(a[key]) if len(a[key]) == rank else tuple(a[key]) * rank for key in ("stride", "dilation")
    )
    given: Any = a.get("low", a.get("padding"))
    low = tuple(given) if len(given) == rank else tuple(given) * rank
    size, output = tuple(shape[2:]), tuple(out.shape[2:])
    contiguous = a["input"].is_contiguous()
    call = cost.Call(
        a["transposed"],
        shape[0],
        shape[1],
        out.shape[1],
        a["groups"],
        size,
        output,
        kernel,
        stride,
        dilation,
        contiguous,
        cost.covers(a["transposed"], a["groups"], size, kernel, output, low, dilation),
    )
    axes = zip(output, stride, low, dilation, kernel, size, strict=True)
    high = tuple(max(0, (o - 1) * s - lo + d * (k - 1) + 1 - n) for o, s, lo, d, k, n in axes)
    return call, (low, high)
