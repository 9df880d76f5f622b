"""Eight words of 64 bits as one value of compiled loops: what LLVM's vectors are, and Numba does not offer.

Left to itself LLVM takes half a register of a processor with AVX-512, and undoes the order in which loops add. `&`, `|`, `^` and `+`
work on lanes, word by word; on a processor with shorter registers LLVM takes several of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model

LANES = 8  # words
TERNARY = "llvm.x86.avx512.pternlog.q.512"  # any function of three bits, by its table of eight
MAJORITY = 0b11101000  # the table of the majority
WORD, PLACE = ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(WORD, LANES)


class Lanes(types.Type):
    """The type of LANES words in compiled loops; Python never holds one."""

    def __init__(self):
        super().__init__(name="Lanes")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


@register_jitable
def aligned_zeros(words):
    """uint64 (words,) from where lanes cross no line of the cache: on others a load takes twice as long."""
    buffer = np.zeros(words + LANES - 1, np.uint64)
    start = -(buffer.ctypes.data // 8) % LANES
    return buffer[start : start + words]


@intrinsic
def load(typing_context, array, index):
    """The words array[index : index + LANES] of a contiguous array; no bounds are checked."""

    def generate(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature, arguments), align=8)

    return lanes(array, types.int64), generate


@intrinsic
def store(typing_context, array, index, value):
    """Write array[index : index + LANES]."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature, arguments), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


def _address(context, builder, signature, arguments):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), VECTOR.as_pointer())


@intrinsic
def filled(typing_context, word):
    """The same word in every lane."""

    def generate(context, builder, signature, arguments):
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], ir.Constant(PLACE, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(PLACE, LANES), [0] * LANES))

    return lanes(types.uint64), generate


@intrinsic
def without(typing_context, a, b):
    """The bits of `a` that `b` lacks."""

    def generate(context, builder, signature, arguments):
        return builder.and_(arguments[0], builder.not_(arguments[1]))

    return lanes(lanes, lanes), generate


@intrinsic
def majority(typing_context, a, b, c):
    """The bits that two of three have: one instruction with AVX-512, of which LLVM by itself makes two."""

    def generate(context, builder, signature, arguments):
        *_, features = context.codegen().magic_tuple()  # of the processor that is compiled for
        if "+avx512f" in features:
            return _call(builder, TERNARY, VECTOR, *arguments, ir.Constant(PLACE, MAJORITY))
        a, b, c = arguments
        return builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def popcount(typing_context, word):
    """The number of bits of a word that are one."""
    return types.uint64(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(arguments[0])


@intrinsic
def popcounts(typing_context, a):
    """The number of bits that are one, of each lane."""

    def generate(context, builder, signature, arguments):
        return _call(builder, f"llvm.ctpop.v{LANES}i64", VECTOR, *arguments)

    return lanes(lanes), generate


@intrinsic
def total(typing_context, a):
    """The sum of the lanes, a word."""

    def generate(context, builder, signature, arguments):
        return _call(builder, f"llvm.vector.reduce.add.v{LANES}i64", WORD, *arguments)

    return types.uint64(lanes), generate


@intrinsic
def some(typing_context, a):
    """1 if any bit is one, else 0."""

    def generate(context, builder, signature, arguments):
        either = _call(builder, f"llvm.vector.reduce.or.v{LANES}i64", WORD, *arguments)
        return builder.zext(builder.icmp_unsigned("!=", either, WORD(0)), WORD)

    return types.int64(lanes), generate


def _call(builder: ir.IRBuilder, name: str, returned: ir.Type, *arguments: ir.Value) -> ir.Value:
    kind = ir.FunctionType(returned, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _define(python_operator: Callable, method: str) -> None:
    """Let Numba write an operator of two lanes as a method of LLVM's builder."""

    @intrinsic
    def apply(typing_context, a, b):
        return lanes(lanes, lanes), lambda context, builder, signature, arguments: getattr(builder, method)(*arguments)

    @overload(python_operator, inline="always")
    def overloaded(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes):
            return lambda a, b: apply(a, b)


for _operator, _method in ((operator.and_, "and_"), (operator.or_, "or_"), (operator.xor, "xor"), (operator.add, "add")):
    _define(_operator, _method)
