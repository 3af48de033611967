/** The code that loads an export, the same as in its model card (spaces/model_card/card.py). */

const CLASSES = {
  "sequence-classification": "AutoModelForSequenceClassification",
  "multi-label-classification": "AutoModelForSequenceClassification",
  "token-classification": "AutoModelForTokenClassification",
  regression: "AutoModelForSequenceClassification",
  "causal-lm": "AutoModelForCausalLM",
  "seq2seq-lm": "AutoModelForSeq2SeqLM",
  "image-classification": "AutoModelForImageClassification",
};

export function loading(format, task, base, folder) {
  const name = CLASSES[task];
  const place = JSON.stringify(folder);
  if (format === "merged") return `from transformers import ${name}\n\nmodel = ${name}.from_pretrained(${place})\n`;
  const classes = task.endsWith("-classification");
  const labels = classes ? ", num_labels=len(labels)" : task === "regression" ? ", num_labels=1" : "";
  return [
    ...(classes ? ["import json", ""] : []),
    "from peft import PeftModel",
    `from transformers import ${name}`,
    "",
    ...(format === "peft" ? OWN : []),
    ...(classes ? [`labels = json.load(open(${JSON.stringify(`${folder}/labels.json`)}))`] : []),
    `base = ${name}.from_pretrained(${JSON.stringify(base)}${labels})`,
    `model = PeftModel.from_pretrained(base, ${place})`,
    "",
  ].join("\n");
}

const OWN = [
  "from trainables import register_tuners",
  "",
  "register_tuners()  # makes PEFT know the tuners of paretune; a lora adapter does without these two lines",
  "",
];
