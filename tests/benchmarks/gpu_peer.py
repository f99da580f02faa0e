"""What PyTorch takes for the fused scorer's formula at its reference shape, on the same machine: eager, compiled, and
with scaled_dot_product_attention, in bfloat16. One line each, and one of JSON.

PyTorch is given what makes it faster: dense tensors of one length, the rows of items already gathered, keys already
projected and folded, and the counted pairs as two dense arrays, so that nothing is looked up.
"""

import json
import math
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("skipped: no PyTorch here")
    sys.exit(0)
if not torch.cuda.is_available():
    print("skipped: PyTorch sees no GPU")
    sys.exit(0)

B, N, L, D, H, K = 64, 1000, 128, 128, 2, 128
HIDDEN = (256, 128)
RECENT, SCALARS = 20, 12


class Inputs:
    """Random, in bfloat16 but for what is small; two sets, so that runs do not always meet their own cache."""

    def __init__(self, seed):
        g = torch.Generator("cuda").manual_seed(seed)

        def normal(*shape, scale=1.0, dtype=torch.bfloat16):
            return (torch.randn(*shape, generator=g, device="cuda") * scale).to(dtype)

        self.unit = F.normalize(normal(B, N, D, dtype=torch.float), dim=-1).bfloat16()
        self.length = normal(B, N, dtype=torch.float).abs()
        self.text = F.normalize(normal(B, N, K, dtype=torch.float), dim=-1).bfloat16()
        self.popularity = normal(B, N, dtype=torch.float).abs()
        self.keys = normal(B, L, H * D, scale=0.1)
        self.seen = F.normalize(normal(B, L, D, dtype=torch.float), dim=-1).bfloat16()
        self.seen_text = F.normalize(normal(B, L, K, dtype=torch.float), dim=-1).bfloat16()
        self.state = normal(B, D)
        self.centre = normal(B, 1, dtype=torch.float)
        self.log_transition = normal(B, N, L)
        self.transition = self.log_transition.exp()
        self.ease = normal(B, N, L, scale=0.1)
        self.behaviour = normal(B, H, 1, L)
        self.rating = normal(B, 1, L)
        self.decay = (0.6 ** torch.arange(L - 1, -1, -1, device="cuda")).bfloat16()

    def all(self):
        return list(vars(self).values())


class Weights:
    def __init__(self):
        g = torch.Generator("cuda").manual_seed(3)

        def normal(*shape):
            return (torch.randn(*shape, generator=g, device="cuda") / math.sqrt(shape[-1])).bfloat16()

        self.theta = normal(4, H)
        self.null = normal(H).float()
        self.hidden1, self.bias1 = normal(HIDDEN[0], SCALARS + H), normal(HIDDEN[0])
        self.hidden2, self.bias2 = normal(HIDDEN[1], HIDDEN[0]), normal(HIDDEN[1])
        self.out, self.linear = normal(1, HIDDEN[1]), normal(1, SCALARS + H)


W = None


def bias_of(cosine, similarity, log_transition, ease, behaviour):
    """[B, H, N, L]: what a pair's logit has beside the product of query and key."""
    terms = torch.stack((log_transition, cosine, similarity, ease), -1) @ W.theta
    return terms.permute(0, 3, 1, 2) + behaviour


def scores_of(unit, length, popularity, state, centre, cosine, similarity, transition, ease, rating, decay, evidence):
    recent = cosine[..., -RECENT:].float()
    wide = similarity.float()
    features = torch.stack((
        torch.einsum("bnd,bd->bn", unit, state).float() * length - centre,
        popularity,
        (popularity == 0).float(),
        recent[..., -1],
        recent.amax(-1),
        recent.mean(-1),
        torch.log1p((transition * decay).sum(-1).float() * 20),
        ease.sum(-1).float(),
        wide[..., -5:].mean(-1),
        wide[..., -20:].mean(-1),
        wide.mean(-1),
        (wide * rating).mean(-1),
    ), -1)
    features = torch.cat((features, evidence), -1).bfloat16()
    hidden = F.relu(F.linear(features, W.hidden1, W.bias1))
    hidden = F.relu(F.linear(hidden, W.hidden2, W.bias2))
    return (F.linear(hidden, W.out) + F.linear(features, W.linear)).squeeze(-1)


def formula(unit, length, text, popularity, keys, seen, seen_text, state, centre, log_transition, transition, ease,
            behaviour, rating, decay):
    cosine = text @ seen_text.transpose(1, 2)
    similarity = unit @ seen.transpose(1, 2)
    product = unit @ keys.reshape(B, L * H, D).transpose(1, 2)
    product = product.reshape(B, N, L, H).permute(0, 3, 1, 2) * length[:, None, :, None].bfloat16()
    logits = (product + bias_of(cosine, similarity, log_transition, ease, behaviour)).float()
    null = W.null[None, :, None, None].expand(B, H, N, 1)
    evidence = (torch.logsumexp(torch.cat((logits, null), -1), -1) - null.squeeze(-1)).permute(0, 2, 1)
    return scores_of(unit, length, popularity, state, centre, cosine, similarity, transition, ease, rating, decay,
                     evidence)


def with_sdpa(unit, length, text, popularity, keys, seen, seen_text, state, centre, log_transition, transition, ease,
              behaviour, rating, decay):
    """The library's attention gives weighted values and not the evidence; their means stand in its place."""
    cosine = text @ seen_text.transpose(1, 2)
    similarity = unit @ seen.transpose(1, 2)
    query = (unit * length[..., None].bfloat16())[:, None].expand(B, H, N, D)
    of_heads = keys.reshape(B, L, H, D).transpose(1, 2)
    attended = F.scaled_dot_product_attention(query, of_heads, of_heads, scale=1.0, attn_mask=bias_of(
        cosine, similarity, log_transition, ease, behaviour).contiguous())
    evidence = attended.float().mean(-1).permute(0, 2, 1)
    return scores_of(unit, length, popularity, state, centre, cosine, similarity, transition, ease, rating, decay,
                     evidence)


def median_us(function, sets, repetitions=50):
    for i in range(10):
        function(*sets[i % len(sets)])
    torch.cuda.synchronize()
    times = []
    for i in range(repetitions):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        function(*sets[i % len(sets)])
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1000)
    return sorted(times)[len(times) // 2]


def main():
    global W
    W = Weights()
    sets = [Inputs(1).all(), Inputs(2).all()]
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}, bfloat16, {B} users x {N} candidates x "
          f"{L} behaviours, D = {D}, {H} heads, MLP {HIDDEN[0]}-{HIDDEN[1]}-1")
    results = {}
    with torch.inference_mode():
        for name, function in (("eager", formula), ("compiled", torch.compile(formula)), ("sdpa", with_sdpa),
                               ("sdpa compiled", torch.compile(with_sdpa))):
            try:
                results[name] = round(median_us(function, sets), 1)
                print(f"PyTorch {name:14s} {results[name]:10.1f} us")
            except Exception as e:  # one that this version of PyTorch cannot do must not hide the others
                print(f"PyTorch {name:14s} failed: {str(e).splitlines()[0] if str(e) else type(e).__name__}")
    print(json.dumps({"pytorch_us": results}))


if __name__ == "__main__":
    main()
