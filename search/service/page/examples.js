/** Sections of a spec for each kind of data, in place of those of the first. */

export const EXAMPLES = {
  "Texts and their classes": {
    "model": { "path": "sentence-transformers/all-MiniLM-L6-v2" },
    "data": { "train": "reviews/train.csv", "test": "reviews/test.csv", "max_length": 64 },
    "objective": { "metric": "accuracy" }
  },
  "Texts with any number of labels": {
    "model": { "path": "sentence-transformers/all-MiniLM-L6-v2", "task": "multi-label-classification" },
    "data": { "train": "topics/train.jsonl", "test": "topics/test.jsonl", "text": "text", "label": "topics" },
    "objective": { "metric": "f1-micro" }
  },
  "Texts and a number": {
    "model": { "path": "sentence-transformers/all-MiniLM-L6-v2", "task": "regression" },
    "data": { "train": "pairs/train.csv", "test": "pairs/test.csv", "text": ["first", "second"], "label": "score" },
    "objective": { "metric": "spearman" }
  },
  "Words and their tags": {
    "model": { "path": "google-bert/bert-base-cased", "task": "token-classification" },
    "data": { "train": "entities/train.jsonl", "test": "entities/test.jsonl", "tokens": "tokens", "label": "ner_tags" },
    "objective": { "metric": "seqeval-f1" }
  },
  "Images and their classes": {
    "model": { "path": "google/vit-base-patch16-224-in21k", "task": "image-classification" },
    "data": { "train": "images/train.csv", "test": "images/test.csv", "image": "image" },
    "objective": { "metric": "accuracy" }
  },
  "Chats": {
    "model": { "path": "Qwen/Qwen2.5-0.5B-Instruct", "task": "causal-lm" },
    "data": { "train": "chats/train.jsonl", "test": "chats/test.jsonl", "messages": "messages", "max_length": 1024 },
    "objective": { "metric": "loss" }
  },
  "Prompts and written answers": {
    "model": { "path": "Qwen/Qwen2.5-0.5B", "task": "causal-lm" },
    "data": {
      "train": "gsm8k/train.jsonl",
      "test": "gsm8k/test.jsonl",
      "prompt": "question",
      "response": "answer",
      "max_length": 512
    },
    "objective": {
      "metric": "numeric-match",
      "generation": { "max_new_tokens": 256, "answer": "#### (.+)", "stop": [] },
      "at_rungs": "loss"
    }
  },
  "Plain text": {
    "model": { "path": "Qwen/Qwen2.5-0.5B", "task": "causal-lm" },
    "data": { "train": "text/train.jsonl", "test": "text/test.jsonl", "text": "text", "packing": true, "max_length": 1024 },
    "objective": { "metric": "perplexity" }
  },
  "Texts to translate or to sum up": {
    "model": { "path": "google-t5/t5-small", "task": "seq2seq-lm" },
    "data": {
      "train": "summaries/train.jsonl",
      "test": "summaries/test.jsonl",
      "prompt": "document",
      "response": "summary",
      "max_length": 256
    },
    "objective": { "metric": "rouge-l", "generation": { "max_new_tokens": 64 }, "at_rungs": "loss" }
  }
};
