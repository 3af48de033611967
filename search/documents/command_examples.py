"""Examples in the schemas of the commands' documents; the numbers are made up."""

from __future__ import annotations

from typing import Any

from tracking.documents.schema_examples import BASE, BUDGET, CONFIG, SEARCH

COUNT: dict[str, Any] = {
    "method": "lora",
    "config": CONFIG,
    "trainable_parameters": 18_432,
    "stored_parameters": 18_432,
    "adapter_bytes": 73_728,
    "head_parameters": 770,
    "base_parameters": 22_713_216,
    "layers": [
        {"name": "encoder.layer.0.attention.self.query", "shape": [384, 384], "trainable_parameters": 1_536},
    ],
}

VALIDATION: dict[str, Any] = {
    "search": SEARCH,
    "base_model": BASE,
    "base_parameters": 22_713_216,
    "head_parameters": 770,
    "budget": BUDGET,
    "methods": ["lora", "sparta", "dst"],
    "dropped": [],
    "labels": ["0", "1"],
    "rows": {"train": 6_920, "validation": 872},
    "cut": {
        "train": {"rows": 46, "share": 0.0066, "responses": None, "longest": 66},
        "validation": {"rows": 0, "share": 0.0, "responses": None, "longest": 57},
    },
    "notes": ["data.max_length = 64: 46 of 6,920 rows of data.train (0.665 %) have more tokens and are cut"],
    "trials": 40,
    "trainings": 56,
    "max_steps": 300,
    "metric": "f1",
    "positive": "1",
}

METHODS: dict[str, Any] = {
    "methods": [
        {
            "name": "lora",
            "summary": "a product of two thin matrices beside each weight",
            "source": "arXiv 2106.09685",
            "searched_by_default": True,
            "learning_rate": 0.002,
            "size_knob": "rank",
            "knobs": [
                {
                    "name": "rank",
                    "default": 8,
                    "description": "Rank of the update.",
                    "takes": "whole number ≥ 1",
                    "searched": True,
                    "drawn": "as large as a share of the budget allows",
                }
            ],
            "capabilities": {
                "merge": True,
                "several_adapters": True,
                "quantised_base": "unknown",
                "stock": "all",
                "lora_conversion": True,
                "conv1d": True,
            },
            "tried_with": {"paretune": "0.1.0", "torch": "2.13.0", "transformers": "5.14.1", "peft": "0.21.0"},
        }
    ]
}
