#!/usr/bin/env python3
"""Makes sentence/: a tiny BERT with random weights in Hugging Face's layout, and golden.safetensors, what the reference
makes of some texts: token ids by tokenizers, vectors by transformers with mean pooling.

Needs torch, transformers, tokenizers and safetensors, in a virtual environment; run it by hand when the formulas change:

    python tests/golden/make_sentence.py tests/golden/sentence
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel

folder = sys.argv[1]
TOKENS_MAX = 14
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", ",", "-", "'", ".", "(", ")", "\u3002", "\U0001F600",
          "the", "red", "blue", "shoe", "##s", "##ing", "run", "##n", "##er", "head", "##phone", "wire", "##less",
          "a", "b", "c", "e", "i", "o", "u", "##a", "##b", "##e", "##i", "##o", "caf", "na", "##ive", "1", "2", "##1", "##2",
          "\u4e2d", "\u6587", "\u03c3", "##\u03c3", "##\u03b1", "\u05e9", "##\u05dc", "##\u05d5", "##\u05dd",
          "\u1112", "##\u1161", "##\u11ab", "zurich", "ss", "##ss"]
TEXTS = ["", "the red shoes", "RED Shoe", "wireless headphones", "caf\u00e9", "cafe\u0301", "na\u00efve", "Z\u00dcRICH",
         "running, runner - run!", "unknownword the", "the" * 40, "a" * 100, "a" * 101, "12 21 1", "a-b'c",
         "\u4e2d\u6587shoe\u4e2d", "\u3002the\u3002", "\u03a3\u03b1\u03a3", "\u05e9\u05dc\u05d5\u05dd red", "\U0001F600shoe\U0001F600",
         "\ud55c", "a\tb\nc\rthe\u00a0red\u3000blue\u2028a", "re\u200bd sh\u00adoe \x00\x07the\ufffd", "\u0130 i I",
         "[CLS] the [SEP] [MASK][UNK] [cls]", "the red blue shoe a b c the red blue shoe a b c the red", "\u212a\u1fef\u037e\u0301",
         "(((((", "   ", "the \u0928\u092e\u0938\u094d\u0924\u0947 red", "\ufb01 \u00bd \uff32ed", "\U0002F800\uf900 a"]

with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8", newline="\n") as file:
    file.write("".join(piece + "\n" for piece in PIECES))
config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 12,
          "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 20, "max_position_embeddings": 16,
          "type_vocab_size": 2, "vocab_size": len(PIECES) + 3, "layer_norm_eps": 1e-12, "pad_token_id": 0,
          "position_embedding_type": "absolute"}
modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
           for i, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])]
for name, value in {
        "config.json": config,
        "tokenizer_config.json": {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True,
                                  "model_max_length": 512, "cls_token": "[CLS]", "sep_token": "[SEP]"},
        "sentence_bert_config.json": {"max_seq_length": TOKENS_MAX, "do_lower_case": False},
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True,
                                  "pooling_mode_cls_token": False}}.items():
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")

torch.manual_seed(3)
model = BertModel(BertConfig(**config), add_pooling_layer=False).eval()
with torch.no_grad():
    for name, weight in model.named_parameters():
        gain = name.endswith("LayerNorm.weight")
        weight.copy_(torch.randn(weight.shape) * 0.3 + (1 if gain else 0))
state = {name: value.contiguous() for name, value in model.state_dict().items()}
state["embeddings.position_ids"] = torch.arange(config["max_position_embeddings"]).unsqueeze(0)
save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})

golden = {}


def put_ids(name, **rules):
    tokenizer = BertWordPieceTokenizer(os.path.join(folder, "vocab.txt"), **rules)
    tokenizer.enable_truncation(TOKENS_MAX)
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    golden[name] = torch.tensor([i for row in rows for i in row], dtype=torch.uint32)
    golden[name + ".offsets"] = torch.tensor([sum(map(len, rows[:i])) for i in range(len(rows) + 1)], dtype=torch.uint32)
    return rows


texts = [text.encode() for text in TEXTS]
golden["texts"] = torch.tensor(list(b"".join(texts)), dtype=torch.uint8)
golden["texts.offsets"] = torch.tensor([sum(map(len, texts[:i])) for i in range(len(texts) + 1)], dtype=torch.uint32)
put_ids("cased", lowercase=False, strip_accents=False, handle_chinese_chars=False)
put_ids("lower", lowercase=True, strip_accents=False, handle_chinese_chars=True)
rows = put_ids("ids", lowercase=True, strip_accents=True, handle_chinese_chars=True)
model = model.double()
with torch.no_grad():
    states = [model(input_ids=torch.tensor([row])).last_hidden_state[0] for row in rows]
for name, pooled in {"mean": [x.mean(0) for x in states], "first": [x[0] for x in states]}.items():
    golden[name] = torch.nn.functional.normalize(torch.stack(pooled), dim=1).float()
save_file(golden, os.path.join(folder, "golden.safetensors"))
