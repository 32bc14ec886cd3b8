"""What stands between the matrix products of a block, each read once and written once: Triton kernels.

Rows are tokens. Everything is computed in float32 and rounded where it is stored. With `fp8`, a row is quantised as
`model/fp8.py` says before it leaves the registers, and goes out as e4m3 with its scale. Needs Triton: import it late.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from hidream_studio.model.fp8 import FP8, FP8_MAX, SMALLEST_SCALE

Quantised = tuple[Tensor, Tensor]  # (M, N) e4m3, (M, 1) float32
LOG2_E = 1.4426950408889634
MOST_WARPS = 8  # to a row; 16 took a tenth more time for the widest (docs/lab-log.md)
FINISH_ROWS, FINISH_KEYS, FINISH_WARPS = 64, 64, 4
FINISH_REGISTERS = 160  # a thread: three programs to a processor, without spilling


def add_rms_norm(
    x: Tensor,  # (M, N) contiguous; with delta it becomes x + delta
    delta: Tensor | None,  # (M, N) contiguous
    weight: Tensor,  # (N,)
    eps: float,
    *,
    fp8: bool,
) -> Tensor | Quantised:  # (M, N)
    """The residual stream takes what a layer gave, and its norm goes to the next one."""
    M, N = x.shape
    out, scale = _rows_like(x, N, fp8)
    _add_rms_norm[(M,)](
        x, x if delta is None else delta, weight, out, scale, N=N, BLOCK=triton.next_power_of_2(N), EPS=eps,
        ADD=delta is not None, FP8=fp8, FP8_MAX=FP8_MAX, SMALLEST_SCALE=SMALLEST_SCALE, num_warps=_warps(N),
    )  # fmt: skip
    return (out, scale) if fp8 else out


def silu_times(
    gate_up: Tensor,  # (M, 2N) contiguous
    *,
    fp8: bool,
) -> Tensor | Quantised:  # (M, N)
    """SwiGLU's product of its two halves."""
    M, N = gate_up.shape[0], gate_up.shape[1] // 2
    out, scale = _rows_like(gate_up, N, fp8)
    _silu_times[(M,)](
        gate_up, out, scale, N=N, BLOCK=triton.next_power_of_2(N), FP8=fp8, FP8_MAX=FP8_MAX,
        SMALLEST_SCALE=SMALLEST_SCALE, num_warps=_warps(N),
    )  # fmt: skip
    return (out, scale) if fp8 else out


def quantise_rows(
    x: Tensor,  # (M, N) contiguous
) -> Quantised:
    M, N = x.shape
    out, scale = _rows_like(x, N, True)
    _quantise_rows[(M,)](
        x, out, scale, N=N, BLOCK=triton.next_power_of_2(N), FP8_MAX=FP8_MAX, SMALLEST_SCALE=SMALLEST_SCALE,
        num_warps=_warps(N),
    )  # fmt: skip
    return out, scale


def rotate_heads(
    qkv: Tensor,  # (B * S, (heads + 2 kv_heads) * head_dim) contiguous
    norms: tuple[Tensor, Tensor],  # the weights of q's and k's norm, (head_dim,)
    rotary: tuple[Tensor, Tensor],  # cos, sin: (B, S, 1, head_dim) contiguous; the second half repeats the first
    texts: Sequence[tuple[Tensor, Tensor]],  # of each branch k, v: (1, T, kv_heads, head_dim) contiguous
    eps: float,
    q: Tensor,  # (B, S, heads, head_dim) contiguous, is written
    k: Tensor,  # (B, S + longest T, kv_heads, head_dim) contiguous, is written: a branch's own keys, then its text's
    v: Tensor,  # as k
    shared: tuple[Tensor, Tensor] | None = None,  # as one of texts; stands before each of them, and counts in their T
) -> None:
    """Norm and turn q and k, head by head, and put keys and values where attention reads them."""
    _, S, heads, head_dim = q.shape
    K, kv_heads = k.shape[1:3]
    before, H = (texts[0], 0) if shared is None else (shared, shared[0].shape[1])
    for b in range(0, len(texts), 2):  # two branches to a launch: what a step with guidance has
        first, last = texts[b], texts[min(b + 1, len(texts) - 1)]
        _rotate_heads[(K, min(2, len(texts) - b))](
            _since(qkv, b * S), *norms, _since(rotary[0], b), _since(rotary[1], b), *before, *first, *last,
            _since(q, b), _since(k, b), _since(v, b), S, K, H, first[0].shape[1], last[0].shape[1],
            HEADS=heads, KV_HEADS=kv_heads, HALF=head_dim // 2,
            BLOCK_Q=triton.next_power_of_2(heads), BLOCK_KV=triton.next_power_of_2(kv_heads), EPS=eps, num_warps=4,
        )  # fmt: skip


def finish_attention(
    q: Tensor,  # (B, S, heads, head_dim) contiguous; becomes the answer
    k: Tensor,  # (B, longest K, kv_heads, head_dim) contiguous
    v: Tensor,
    keys: Sequence[int],  # each branch's K
    first: int,  # keys before this one are in `partial` already
    partial: Tensor,  # (B, heads, S or S - 1, head_dim), attention over those; any strides but the last, which is 1
    log_sum: Tensor,  # (B, heads, S or S - 1) float32, the logarithm of the sum of their exponentials
) -> None:
    """Attention over all keys from attention over the first ones: one more round of the online softmax.

    Milakov and Gimelshein, 2018. It reads each partial result once, so a few keys cost no more than a copy. Where
    `partial` lacks the first query, that one's attention is computed here alone, beside the others' last keys.
    """
    B, S, heads, head_dim = q.shape
    kv_heads = k.shape[2]
    alone = S - partial.shape[2]
    tiles = triton.cdiv(S - alone, FINISH_ROWS)
    for b in range(0, B, 2):
        n = min(2, B - b)
        _finish_attention[(n * (alone * kv_heads + tiles * heads),)](
            _since(q, b), _since(k, b), _since(v, b), _since(partial, b), _since(log_sum, b), S, k.shape[1], keys[b],
            keys[b + n - 1], first, n, alone, tiles, *partial.stride()[:3], *log_sum.stride(), HEADS=heads,
            GROUP=heads // kv_heads, GROUP_ROWS=max(16, triton.next_power_of_2(heads // kv_heads)), D=head_dim,
            KV_HEADS=kv_heads, SCALE=head_dim**-0.5 * LOG2_E, LOG2_E=LOG2_E, BLOCK_M=FINISH_ROWS, BLOCK_N=FINISH_KEYS,
            num_warps=FINISH_WARPS, maxnreg=FINISH_REGISTERS,
        )  # fmt: skip


def _since(x: Tensor, first: int) -> Tensor:
    return x[first:] if first else x  # a view takes the host as long as a tenth of a launch


def _rows_like(x: Tensor, N: int, fp8: bool) -> tuple[Tensor, Tensor]:
    out = torch.empty((x.shape[0], N), dtype=FP8 if fp8 else x.dtype, device=x.device)
    return out, torch.empty((x.shape[0], 1), dtype=torch.float32, device=x.device) if fp8 else out


def _warps(N: int) -> int:  # a power of two: Triton takes no other
    return min(MOST_WARPS, 1 << max(0, (N // 512).bit_length() - 1))


@triton.jit
def _store_row(
    values, out, scale, row, columns, inside, N: tl.constexpr, FP8: tl.constexpr, FP8_MAX: tl.constexpr,
    SMALLEST_SCALE: tl.constexpr,
):  # fmt: skip
    if FP8:
        row_scale = tl.maximum(tl.max(tl.abs(values), axis=0) / FP8_MAX, SMALLEST_SCALE)
        tl.store(scale + row, row_scale)
        values = tl.minimum(tl.maximum(values * (1.0 / row_scale), -FP8_MAX), FP8_MAX)
    tl.store(out + row * N + columns, values.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _add_rms_norm(
    x, delta, weight, out, scale, N: tl.constexpr, BLOCK: tl.constexpr, EPS: tl.constexpr, ADD: tl.constexpr,
    FP8: tl.constexpr, FP8_MAX: tl.constexpr, SMALLEST_SCALE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < N
    values = tl.load(x + row * N + columns, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        values += tl.load(delta + row * N + columns, mask=inside, other=0.0).to(tl.float32)
        stored = values.to(x.dtype.element_ty)
        tl.store(x + row * N + columns, stored, mask=inside)
        values = stored.to(tl.float32)
    gain = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    values = values * tl.rsqrt(tl.sum(values * values, axis=0) / N + EPS) * gain
    _store_row(values, out, scale, row, columns, inside, N, FP8, FP8_MAX, SMALLEST_SCALE)


@triton.jit
def _silu_times(
    gate_up, out, scale, N: tl.constexpr, BLOCK: tl.constexpr, FP8: tl.constexpr, FP8_MAX: tl.constexpr,
    SMALLEST_SCALE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < N
    gate = tl.load(gate_up + row * 2 * N + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * N + N + columns, mask=inside, other=0.0).to(tl.float32)
    values = gate * tl.sigmoid(gate) * up
    _store_row(values, out, scale, row, columns, inside, N, FP8, FP8_MAX, SMALLEST_SCALE)


@triton.jit
def _quantise_rows(
    x, out, scale, N: tl.constexpr, BLOCK: tl.constexpr, FP8_MAX: tl.constexpr, SMALLEST_SCALE: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < N
    values = tl.load(x + row * N + columns, mask=inside, other=0.0).to(tl.float32)
    _store_row(values, out, scale, row, columns, inside, N, True, FP8_MAX, SMALLEST_SCALE)


@triton.jit
def _turn_heads(
    source, weight, cos, sin, target, half, inside, places, HALF: tl.constexpr, EPS: tl.constexpr
):  # source and target point to a row's first head; half (1, HALF), places (heads, HALF): of the first halves
    first = tl.load(source + places, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(source + places + HALF, mask=inside, other=0.0).to(tl.float32)
    mean = (tl.sum(first * first, axis=1) + tl.sum(second * second, axis=1)) / (2 * HALF)
    inverse = tl.rsqrt(mean + EPS)[:, None]
    first = first * inverse * tl.load(weight + half).to(tl.float32)
    second = second * inverse * tl.load(weight + HALF + half).to(tl.float32)
    kind = target.dtype.element_ty
    tl.store(target + places, (first * cos - second * sin).to(kind), mask=inside)
    tl.store(target + places + HALF, (second * cos + first * sin).to(kind), mask=inside)


@triton.jit
def _copy_text(text_k, text_v, k, v, source, target, kv_places, kv_inside, HALF: tl.constexpr):
    for part in tl.static_range(2):
        places = kv_places + part * HALF
        tl.store(k + target + places, tl.load(text_k + source + places, mask=kv_inside), mask=kv_inside)
        tl.store(v + target + places, tl.load(text_v + source + places, mask=kv_inside), mask=kv_inside)


@triton.jit(do_not_specialize=["S", "K", "H", "T0", "T1"])
def _rotate_heads(
    qkv, q_weight, k_weight, cos, sin, shared_k, shared_v, text_k0, text_v0, text_k1, text_v1, q, k, v, S, K, H, T0, T1,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_KV: tl.constexpr,
    EPS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    branch = tl.program_id(1).to(tl.int64)
    D: tl.constexpr = 2 * HALF
    KV: tl.constexpr = KV_HEADS * D
    half = tl.arange(0, HALF)[None, :]
    kv_head = tl.arange(0, BLOCK_KV)[:, None]
    kv_places = kv_head * D + half
    kv_inside = (kv_head < KV_HEADS) & (half < HALF)
    target = (branch * K + row) * KV
    text_row = row - S - H
    if row < S:
        token = branch * S + row
        mine = qkv + token * (HEADS * D + 2 * KV)
        cosine = tl.load(cos + token * D + half).to(tl.float32)
        sine = tl.load(sin + token * D + half).to(tl.float32)
        q_head = tl.arange(0, BLOCK_Q)[:, None]
        q_inside = (q_head < HEADS) & (half < HALF)
        _turn_heads(mine, q_weight, cosine, sine, q + token * HEADS * D, half, q_inside, q_head * D + half, HALF, EPS)
        _turn_heads(mine + HEADS * D, k_weight, cosine, sine, k + target, half, kv_inside, kv_places, HALF, EPS)
        for part in tl.static_range(2):
            places = kv_places + part * HALF
            value = tl.load(mine + HEADS * D + KV + places, mask=kv_inside)
            tl.store(v + target + places, value, mask=kv_inside)
    elif text_row < 0:
        _copy_text(shared_k, shared_v, k, v, (text_row + H) * KV, target, kv_places, kv_inside, HALF)
    elif branch == 0:
        kv_inside = kv_inside & (text_row < T0)
        _copy_text(text_k0, text_v0, k, v, text_row * KV, target, kv_places, kv_inside, HALF)
    else:
        kv_inside = kv_inside & (text_row < T1)
        _copy_text(text_k1, text_v1, k, v, text_row * KV, target, kv_places, kv_inside, HALF)


@triton.jit
def _attend_to_more(
    query, k, v, base, start, end, sums, top, weights, KV: tl.constexpr, D: tl.constexpr, SCALE: tl.constexpr,
    BLOCK_N: tl.constexpr,
):  # fmt: skip
    d = tl.arange(0, D)
    while start < end:
        columns = start + tl.arange(0, BLOCK_N)
        seen = columns < end
        places = base + columns.to(tl.int64)[:, None] * KV + d[None, :]
        key = tl.load(k + places, mask=seen[:, None], other=0.0)
        value = tl.load(v + places, mask=seen[:, None], other=0.0)
        score = tl.dot(query, tl.trans(key), input_precision="ieee") * SCALE
        score = tl.where(seen[None, :], score, float("-inf"))
        new_top = tl.maximum(top, tl.max(score, axis=1))
        shrink = tl.exp2(top - new_top)
        share = tl.exp2(score - new_top[:, None])
        weights = weights * shrink + tl.sum(share, axis=1)
        sums = tl.dot(share.to(value.dtype), value, sums * shrink[:, None], input_precision="ieee")
        top = new_top
        start += BLOCK_N
    return sums / weights[:, None]


@triton.jit
def _first_query(
    q, k, v, branch, kv_head, start, end, S, K, HEADS: tl.constexpr, GROUP: tl.constexpr, GROUP_ROWS: tl.constexpr,
    D: tl.constexpr, KV_HEADS: tl.constexpr, SCALE: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Over all keys, for the heads that share them."""
    d = tl.arange(0, D)
    member = tl.arange(0, GROUP_ROWS)
    real = member < GROUP
    places = branch * S * (HEADS * D) + (kv_head * GROUP + member)[:, None] * D + d[None, :]
    query = tl.load(q + places, mask=real[:, None], other=0.0)
    sums = tl.zeros((GROUP_ROWS, D), tl.float32)
    top = tl.full((GROUP_ROWS,), float("-inf"), tl.float32)
    weights = tl.zeros((GROUP_ROWS,), tl.float32)
    base = branch * K * (KV_HEADS * D) + kv_head * D
    found = _attend_to_more(query, k, v, base, start, end, sums, top, weights, KV_HEADS * D, D, SCALE, BLOCK_N)
    tl.store(q + places, found.to(q.dtype.element_ty), mask=real[:, None])


@triton.jit
def _other_queries(
    q, k, v, partial, log_sum, branch, head, rows, start, end, S, K, alone, partial_head, partial_row, log_head,
    log_row, HEADS: tl.constexpr, GROUP: tl.constexpr, D: tl.constexpr, KV_HEADS: tl.constexpr, SCALE: tl.constexpr,
    LOG2_E: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Over the last keys, from the partial result; `partial` and `log_sum` point to the branch."""
    d = tl.arange(0, D)
    real = rows < S - alone
    places = (branch * S + alone + rows)[:, None] * (HEADS * D) + head * D + d[None, :]
    query = tl.load(q + places, mask=real[:, None], other=0.0)
    known = head * partial_head + rows[:, None] * partial_row + d[None, :]
    sums = tl.load(partial + known, mask=real[:, None], other=0.0).to(tl.float32)
    top = tl.load(log_sum + head * log_head + rows * log_row, mask=real, other=0.0) * LOG2_E
    weights = tl.full((BLOCK_M,), 1.0, tl.float32)
    base = branch * K * (KV_HEADS * D) + (head // GROUP) * D
    found = _attend_to_more(query, k, v, base, start, end, sums, top, weights, KV_HEADS * D, D, SCALE, BLOCK_N)
    tl.store(q + places, found.to(q.dtype.element_ty), mask=real[:, None])


@triton.jit(
    do_not_specialize=["S", "K", "K0", "K1", "first", "B", "alone", "tiles", "log_branch", "log_head", "log_row"]
)
def _finish_attention(
    q, k, v, partial, log_sum, S, K, K0, K1, first, B, alone, tiles, partial_branch, partial_head, partial_row,
    log_branch, log_head, log_row, HEADS: tl.constexpr, GROUP: tl.constexpr, GROUP_ROWS: tl.constexpr, D: tl.constexpr,
    KV_HEADS: tl.constexpr, SCALE: tl.constexpr, LOG2_E: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    lonely = alone * B * KV_HEADS  # these take longest, so they come first
    if program < lonely:
        branch = (program // KV_HEADS).to(tl.int64)
        end = tl.where(branch == 0, K0, K1)
        start = first * 0  # a zero of run time, as a loop's counter must be
        _first_query(
            q, k, v, branch, program % KV_HEADS, start, end, S, K, HEADS, GROUP, GROUP_ROWS, D, KV_HEADS, SCALE, BLOCK_N
        )
    else:
        rest = program - lonely
        branch = (rest // (tiles * HEADS)).to(tl.int64)
        end = tl.where(branch == 0, K0, K1)
        head = rest % HEADS  # the fastest: programs of a time read whole rows
        rows = (rest // HEADS % tiles * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
        _other_queries(
            q, k, v, partial + branch * partial_branch, log_sum + branch * log_branch, branch, head, rows, first, end,
            S, K, alone, partial_head, partial_row, log_head, log_row, HEADS, GROUP, D, KV_HEADS, SCALE, LOG2_E,
            BLOCK_M, BLOCK_N,
        )  # fmt: skip
