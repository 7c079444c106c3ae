"""What kernels do to single numbers: bfloat16 in and out, exp, and rows of memory as arrays.

numba knows no bfloat16: such a number is a uint16 here, the upper half of a float32. A kernel is
written once for both types: `wide` reads either as float32, `narrow` makes what is to be stored.
A kernel's parameters are whole numbers, most of them addresses, unless they say otherwise; the last,
`like`, is of the type that the kernel works on and says nothing else. See `calls` and `compiler`.
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from llm.compiled import inner

ONE = np.float32(1)
ZERO = np.float32(0)
HALF = np.float32(0.5)


@intrinsic
def pointer(context, address, like):
    """The memory at `address` as numbers of the type of `like`.

    What is compiled takes vectors of 512 bits where the processor has them: LLVM is shy of them.
    """

    def generate(context, builder, signature, arguments):
        # llvmlite's own `add` knows a few attributes only.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(address, like), generate


@intrinsic
def wide(context, value):
    """A stored number as float32."""

    def generate(context, builder, signature, arguments):
        if signature.args[0] == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(value), generate


@intrinsic
def narrow(context, value, like):
    """A float32 as it is stored in the type of `like`: rounded to the nearest, ties to even."""

    def generate(context, builder, signature, arguments):
        if signature.return_type == types.float32:
            return arguments[0]
        word = ir.IntType(32)
        bits = builder.bitcast(arguments[0], word)
        odd = builder.and_(builder.lshr(bits, ir.Constant(word, 16)), ir.Constant(word, 1))
        rounded = builder.add(builder.add(bits, ir.Constant(word, 0x7FFF)), odd)
        return builder.trunc(builder.lshr(rounded, ir.Constant(word, 16)), ir.IntType(16))

    return like(types.float32, like), generate


@intrinsic
def bits_of(context, value):
    """A float32's bits as uint32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@intrinsic
def from_bits(context, value):
    """The float32 of these bits (uint32)."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def fma(context, left, right, added):
    """left * right + added, rounded once."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@intrinsic
def whole(context, value):
    """The nearest whole number, as float32."""

    def generate(context, builder, signature, arguments):
        nearest = builder.module.declare_intrinsic("llvm.nearbyint", [ir.FloatType()])
        return builder.call(nearest, arguments)

    return types.float32(types.float32), generate


@intrinsic
def as_integer(context, value):
    """A float32 as int32."""

    def generate(context, builder, signature, arguments):
        return builder.fptosi(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


LOG2_E = np.float32(1.44269504088896341)
LN2_HIGH, LN2_LOW = np.float32(-0.693359375), np.float32(2.12194440e-4)
# Well above the smallest normal number: what comes below takes a processor far longer.
LOWEST, HIGHEST = np.float32(-80.0), np.float32(88.0)
# exp(r) = 1 + r + r^2 (1/2 + r (1/6 + ...)) for |r| <= ln(2) / 2, coefficients fitted
SERIES = tuple(
    np.float32(value)
    for value in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
                  1.6666665459e-1, 5.0000001201e-1)
)  # fmt: skip


@inner
def exp(value):
    """e^value to 2 units in the last place; 0 below -80, cut off at 88, and NaN stays.

    The range is reduced as Cody and Waite do, and the series is Cephes' (Moshier, expf).
    """
    vanishes = value < LOWEST
    value = LOWEST if vanishes else value
    value = HIGHEST if value > HIGHEST else value
    power = whole(value * LOG2_E)
    rest = fma(power, LN2_LOW, fma(power, LN2_HIGH, value))
    series = fma(SERIES[0], rest, SERIES[1])
    series = fma(series, rest, SERIES[2])
    series = fma(series, rest, SERIES[3])
    series = fma(series, rest, SERIES[4])
    series = fma(series, rest, SERIES[5])
    result = fma(series, rest * rest, rest) + ONE
    result = from_bits(bits_of(result) + (np.uint32(as_integer(power)) << np.uint32(23)))
    return ZERO if vanishes else result


SIGN = np.int32(31)
ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
LEAST = np.int32(-0x7FFFFFFF)  # of the numbers that `in_order` gives


@inner
def in_order(bits):
    """A float32's bits as an int32 that is larger where the number is; the same way back.

    Positive NaN is the largest of all, so the largest of some numbers tells of it.
    """
    return bits ^ ((bits >> SIGN) & ALL_BUT_SIGN)
